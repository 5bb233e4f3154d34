package capture

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
)

// oldCalls is a capture with enter events of several threads that interleave, in two sections.
func oldCalls(t *testing.T) []byte {
	var b bytes.Buffer
	for range 2 {
		b.Write(header(2))
		for i := range 200 {
			tid, ts := int64(10+i%3), uint64(1000+i*10)
			b.Write(block(eventV2, uint16(0), eventBytes(t, ts, tid, event.SYSCALL_READ_E, int64(3), uint32(i))))
			b.Write(block(eventV2, uint16(1), eventBytes(t, ts+5, tid-1, event.SYSCALL_READ_X, int64(i), []byte("data"))))
		}
	}
	return b.Bytes()
}

func packAs(t *testing.T, dir, name string, data []byte, member int) string {
	t.Helper()
	path := filepath.Join(dir, name)
	var b bytes.Buffer
	for len(data) > 0 {
		n := min(member, len(data))
		if member == 0 {
			b.Write(data)
			break
		}
		z := gzip.NewWriter(&b)
		if _, err := z.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// packBlocks packs data as one member in which a block begins every 700 bytes.
func packBlocks(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for len(data) > 0 {
		n := min(700, len(data))
		if _, err := z.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadingOnAtEveryMarkGivesTheSameEvents(t *testing.T) {
	dir, data := t.TempDir(), oldCalls(t)
	defer func(n int64) { pointEvery = n }(pointEvery)
	pointEvery = 3000
	for _, path := range []string{
		packAs(t, dir, "plain.scap", data, 0),
		packAs(t, dir, "one member.scap.gz", data, 1<<30),
		packAs(t, dir, "small members.scap.gz", data, 500),
		packBlocks(t, dir, "one member of many blocks.scap.gz", data),
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			r, err := Open(path, Options{Points: true})
			if err != nil {
				t.Fatal(err)
			}
			type place struct {
				mark Mark
				read int // events before it
			}
			var all []record
			places := []place{{r.Mark(), 0}}
			for {
				var ev event.Event
				err := r.Next(&ev)
				if err == io.EOF {
					break
				}
				if err == nil {
					all = append(all, record{ev.Num, ev.CPU, ev.Hidden, string(ev.Bytes())})
				} else if !errors.Is(err, event.ErrSection) {
					t.Fatal(err)
				}
				places = append(places, place{r.Mark(), len(all)})
			}
			if len(all) != 400 {
				t.Fatalf("%d events, want 400", len(all))
			}
			points := 0
			for i := 0; i < len(places); i += 7 {
				if places[i].mark.Point != nil {
					points++
				}
				on, err := OpenAt(path, places[i].mark, Options{})
				if err != nil {
					t.Fatalf("mark %d: %v", i, err)
				}
				got, _, err := readAll(on)
				on.Close()
				if err != nil || !slices.Equal(got, all[places[i].read:]) {
					t.Fatalf("mark %d: %d events (%v), want %d", i, len(got), err, len(all)-places[i].read)
				}
			}
			if many := strings.Contains(path, "many blocks"); many != (points > 20) {
				t.Errorf("%d marks with a point", points)
			}
		})
	}
}

func TestAMarkThatDoesNotFitTheFileIsAnError(t *testing.T) {
	path := packAs(t, t.TempDir(), "x.scap.gz", oldCalls(t), 1<<30)
	for _, m := range []Mark{{Offset: 1 << 40}, {Offset: 10, MemberOffset: 20}, {Member: -1}, {Member: 3, Offset: 100}, {Offset: 50, Enters: [][]byte{{1}}}} {
		r, err := OpenAt(path, m, Options{})
		if err == nil {
			var ev event.Event
			if err = r.Next(&ev); err == nil {
				t.Errorf("%+v was taken", m)
			}
			r.Close()
		}
	}
}
