package capture

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// fileRow names and creates the files of a capture.
type fileRow struct {
	pattern string // path as given
	limited bool   // more than one file
	byTime  bool   // pattern is a strftime pattern
	keep    int    // files to keep, 0 for all
	count   int    // files so far
	kept    []string
	path    string // of the current file
	file    *os.File
}

func newFileRow(path string, opt *WriterOptions) *fileRow {
	return &fileRow{
		pattern: path, limited: opt.limited(), keep: opt.MaxFiles,
		byTime: opt.MaxTime > 0 && strings.Contains(path, "%"),
	}
}

// name returns the name of the next file.
func (r *fileRow) name(start time.Time) string {
	switch {
	case !r.limited:
		return r.pattern
	case r.byTime:
		name := strftime(r.pattern, start)
		if name == r.path { // the pattern is coarser than the limit
			name += "." + strconv.Itoa(r.count)
		}
		return name
	case r.keep == 0:
		return r.pattern + strconv.Itoa(r.count)
	}
	n, width := strconv.Itoa(r.count%r.keep), len(strconv.Itoa(r.keep-1))
	return r.pattern + strings.Repeat("0", width-len(n)) + n
}

// create creates the next file and removes the one that is too many.
func (r *fileRow) create(start time.Time) (*os.File, error) {
	if r.pattern == "-" {
		r.path, r.file = "standard output", os.Stdout
		return os.Stdout, nil
	}
	path := r.name(start)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := makePrivate(f); err != nil {
		f.Close()
		return nil, err
	}
	r.path, r.file = path, f
	r.count++
	return f, r.drop()
}

// makePrivate takes a file that was there before, and is overwritten, from all
// but its owner: a capture holds secrets.
func makePrivate(f *os.File) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return f.Chmod(0o600)
}

// drop removes the oldest file of a row that has too many with names of their own.
func (r *fileRow) drop() error {
	if !r.byTime || r.keep == 0 {
		return nil
	}
	r.kept = append(r.kept, r.path)
	if len(r.kept) <= r.keep {
		return nil
	}
	oldest := r.kept[0]
	r.kept = r.kept[1:]
	if err := os.Remove(oldest); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// close closes the current file.
func (r *fileRow) close() error {
	f := r.file
	r.file = nil
	if f == nil || f == os.Stdout {
		return nil
	}
	return f.Close()
}

// strftimeLayouts holds what the conversions of strftime are for package time.
var strftimeLayouts = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'j': "002", 'H': "15", 'I': "03", 'M': "04", 'S': "05",
	'p': "PM", 'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan", 'z': "-0700", 'Z': "MST",
	'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06",
}

// strftime formats t, as the C function does. Conversions that it does not
// know stay as they are.
func strftime(pattern string, t time.Time) string {
	var b []byte
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' || i+1 == len(pattern) {
			b = append(b, pattern[i])
			continue
		}
		i++
		switch c := pattern[i]; {
		case c == '%':
			b = append(b, '%')
		case c == 's':
			b = strconv.AppendInt(b, t.Unix(), 10)
		case strftimeLayouts[c] != "":
			b = t.AppendFormat(b, strftimeLayouts[c])
		default:
			b = append(b, '%', c)
		}
	}
	return string(b)
}
