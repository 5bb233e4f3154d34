package chisel

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"rollcage/internal/detect/filter"
)

// ArgType is what an argument must be.
type ArgType string

// The types of arguments.
const (
	String  ArgType = "string"
	Int     ArgType = "int"
	Address ArgType = "ipv4" // or IPv6
	Filter  ArgType = "filter"
)

// Arg is an argument of a chisel.
type Arg struct {
	Name     string
	Type     ArgType
	Optional bool
	Doc      string
}

// Values are the arguments of a run by name; what was left out is not there.
type Values map[string]string

// number returns an Int, or the default.
func (v Values) number(name string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(v[name], 10, 64); err == nil {
		return n
	}
	return otherwise
}

// plain is the argument that many chisels take to print without colours.
var plain = Arg{Name: "disable_color", Type: String, Optional: true, Doc: "disable_colors for output without colours."}

// colors reports whether a run prints in colours.
func (e *Env) colors(v Values) bool {
	return e.Colors && v["disable_color"] != "disable_color" && v["disable_color"] != "disable_colors"
}

// Required returns how many arguments must be given.
func (c *Chisel) Required() int {
	n := 0
	for _, a := range c.Args {
		if !a.Optional {
			n++
		}
	}
	return n
}

// TakesNext reports whether the word that follows the name of the chisel on a
// command line is its arguments and not a part of the condition: if it takes
// arguments, unless it can do without and the word is a condition.
func (c *Chisel) TakesNext(word string) bool {
	switch {
	case len(c.Args) == 0:
		return false
	case c.Required() > 0:
		return true
	}
	return c.Args[0].Type == Filter || compiles(word) != nil
}

// compiles returns why a text is no condition, nil if it is one.
func compiles(text string) error {
	node, err := filter.Parse(text)
	if err == nil {
		_, _, err = filter.NewProgram().Add(node)
	}
	return err
}

// Parse checks the arguments in text: words between blanks, of which one with
// blanks in it stands between single or double quotes.
func (c *Chisel) Parse(text string) (Values, error) {
	words, err := split(text)
	if err != nil {
		return nil, fmt.Errorf("arguments of chisel %s: %w", c.Name, err)
	}
	if len(c.Args) == 1 && c.Args[0].Type == Filter && len(words) > 0 {
		words = []string{strings.Trim(text, `'" `)}
	}
	if n := c.Required(); len(words) < n {
		return nil, fmt.Errorf("missing arguments for chisel %s: %d required, %d given; see -i %s", c.Name, n, len(words), c.Name)
	}
	if len(words) > len(c.Args) {
		n := c.Required()
		return nil, fmt.Errorf("too many parameters for chisel %s, %d required, %d optional, %d given", c.Name, n, len(c.Args)-n, len(words))
	}
	v := Values{}
	for i, w := range words {
		a := &c.Args[i]
		// Only by name is the last one taken for what it is when others are left out.
		if last := &c.Args[len(c.Args)-1]; last.Name == plain.Name && (w == "disable_colors" || w == "disable_color") {
			a = last
		}
		if err := a.check(w); err != nil {
			return nil, fmt.Errorf("argument %s of chisel %s: %w", a.Name, c.Name, err)
		}
		v[a.Name] = w
	}
	return v, nil
}

func (a *Arg) check(word string) error {
	switch a.Type {
	case Int:
		if n, err := strconv.ParseInt(word, 10, 64); err != nil || n < 0 {
			return fmt.Errorf("%q is not a number", word)
		}
	case Address:
		if _, err := netip.ParseAddr(word); err != nil {
			return fmt.Errorf("%q is not an address", word)
		}
	case Filter:
		if err := compiles(word); err != nil {
			return fmt.Errorf("%s", filter.Explain(word, err))
		}
	}
	return nil
}

// split splits text at blanks outside of quotes.
func split(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, open = r, true
		case quote == 0 && r == ' ':
			if open {
				words = append(words, word.String())
				word.Reset()
			}
			open = false
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if open {
		words = append(words, word.String())
	}
	return words, nil
}
