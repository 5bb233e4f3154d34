package sysdig

import (
	"errors"
	"fmt"
	"strings"
)

// parse reads a command line the way getopt does: flags may stand anywhere,
// after -- there are none, and what is no flag is the filter.
func parse(args []string) (*options, error) {
	p := &parser{rest: args, opts: &options{snaplen: 80, color: "true"}}
	var filter []string
	for len(p.rest) > 0 {
		arg := p.next()
		var err error
		switch {
		case arg == "--":
			filter = append(filter, p.rest...)
			p.rest = nil
		case strings.HasPrefix(arg, "--"):
			err = p.long(arg[2:])
		case len(arg) > 1 && arg[0] == '-':
			err = p.short(arg[1:])
		default:
			filter = append(filter, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	o := p.opts
	o.filter = strings.Join(filter, " ")
	o.long = o.verbose
	return o, o.check()
}

func (o *options) check() error {
	rotates := o.file.MaxBytes > 0 || o.file.MaxTime > 0 || o.file.MaxEvents > 0
	switch {
	case o.write == "" && (rotates || o.fat || o.filterProcesses || o.file.Gzip):
		return errors.New("-C, -G, -e, -F, -z and --filter-proclist are about the file that -w names")
	case o.write != "" && len(o.chisels) > 0:
		return errors.New("-w and -c cannot be used together: record first, then run the chisel with -r")
	}
	return nil
}

type parser struct {
	rest []string
	opts *options
}

func (p *parser) next() string {
	arg := p.rest[0]
	p.rest = p.rest[1:]
	return arg
}

// optional reports whether the argument of a flag can be left out.
func (o *option) optional() bool { return strings.HasPrefix(o.arg, "[") }

// long handles --NAME, --NAME=ARG and --NAME ARG. A name may be cut as long as it is of one flag only.
func (p *parser) long(text string) error {
	name, arg, given := strings.Cut(text, "=")
	var found *option
	for i := range optionTable {
		o := &optionTable[i]
		switch {
		case o.long == name:
			return p.set(o, "--"+name, arg, given)
		case name == "" || !strings.HasPrefix(o.long, name):
		case found != nil:
			return fmt.Errorf("option '--%s' is ambiguous: --%s or --%s?", name, found.long, o.long)
		default:
			found = o
		}
	}
	if found == nil {
		return fmt.Errorf("unrecognized option '--%s'", name)
	}
	return p.set(found, "--"+found.long, arg, given)
}

// short handles flags of one letter: several in a word, the last with its argument.
func (p *parser) short(letters string) error {
	for letters != "" {
		var found *option
		for i := range optionTable {
			if optionTable[i].short == letters[0] {
				found = &optionTable[i]
			}
		}
		name := "-" + letters[:1]
		if found == nil {
			return fmt.Errorf("invalid option -- '%s'", letters[:1])
		}
		letters = letters[1:]
		if found.arg != "" {
			return p.set(found, name, letters, letters != "")
		}
		if err := p.set(found, name, "", false); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) set(o *option, name, arg string, given bool) error {
	switch {
	case o.arg == "" && given:
		return fmt.Errorf("option '%s' takes no argument", name)
	case o.arg != "" && !given && !o.optional():
		if len(p.rest) == 0 {
			return fmt.Errorf("option '%s' needs an argument: %s", name, o.arg)
		}
		arg = p.next()
	}
	before := len(p.opts.chisels)
	if err := o.set(p.opts, arg); err != nil {
		return err
	}
	if len(p.opts.chisels) > before {
		return p.chiselArgs(&p.opts.chisels[before])
	}
	return nil
}

// chiselArgs takes the word after the name of a chisel if it is its arguments.
func (p *parser) chiselArgs(r *request) error {
	text := ""
	if len(p.rest) > 0 && !strings.HasPrefix(p.rest[0], "-") && r.chisel.TakesNext(p.rest[0]) {
		text = p.next()
	}
	var err error
	r.args, err = r.chisel.Parse(text)
	return err
}
