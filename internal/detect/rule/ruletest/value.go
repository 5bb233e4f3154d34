package ruletest

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"rollcage/internal/observe/event"
)

// value encodes the value of a parameter for event.Append.
func (p *parser) value(param *event.ParamInfo, n *yaml.Node) any {
	var v any
	var err error
	switch param.Type {
	case event.TypeBytebuf:
		return p.bytes(param, n)
	case event.TypeFDList:
		return p.fdList(n)
	}
	word, ok := p.words(n)
	switch {
	case !ok || isNull(n):
		return nil
	case param.Type == event.TypeSockaddr:
		v, err = sockaddr(word)
	case param.Type == event.TypeSocktuple:
		v, err = socktuple(word)
	case param.Type == event.TypeDyn:
		v, err = dynamic(param, word)
	case param.Type.Size() == 0:
		return word
	default:
		v, err = numeric(param, word)
	}
	if err != nil {
		p.fail(n, "parameter %s: %v", param.Name, err)
		return nil
	}
	return v
}

// words returns a scalar, or the scalars of a list joined by '|' as flags are.
func (p *parser) words(n *yaml.Node) (string, bool) {
	if n.Kind != yaml.SequenceNode {
		return p.scalar(n)
	}
	var all []string
	p.texts(&all)(n)
	return strings.Join(all, "|"), true
}

// listParams are buffers that hold strings, each with a NUL behind it.
var listParams = map[string]bool{"args": true, "env": true, "cgroups": true}

// bytes encodes a buffer: text, base64 under the tag !!binary, or a list of
// strings, or a mapping as a list of KEY=value.
func (p *parser) bytes(param *event.ParamInfo, n *yaml.Node) any {
	switch {
	case isNull(n):
		return nil
	case n.Kind == yaml.MappingNode || listParams[param.Name]:
		var items []string
		p.environment(&items)(n)
		return list(items)
	case n.Kind == yaml.SequenceNode:
		var items []string
		p.texts(&items)(n)
		return list(items)
	case n.ShortTag() == "!!binary":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		if err != nil {
			p.fail(n, "parameter %s: %v", param.Name, err)
		}
		return b
	}
	return []byte(n.Value)
}

// list encodes strings, each with a NUL behind it.
func list(items []string) []byte {
	b := []byte{}
	for _, s := range items {
		b = append(append(b, s...), 0)
	}
	return b
}

// fdList encodes a list of descriptors, each NUMBER or NUMBER:FLAGS with the
// flags of poll in hexadecimal.
func (p *parser) fdList(n *yaml.Node) any {
	var items []string
	p.texts(&items)(n)
	b := binary.LittleEndian.AppendUint16(nil, uint16(len(items)))
	for _, s := range items {
		num, flags, _ := strings.Cut(s, ":")
		fd, err := strconv.ParseInt(num, 10, 64)
		bits, err2 := strconv.ParseUint("0"+flags, 16, 16)
		if err != nil || err2 != nil {
			p.fail(n, "%q is not NUMBER or NUMBER:FLAGS", s)
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(fd))
		b = binary.LittleEndian.AppendUint16(b, uint16(bits))
	}
	return b
}

// dynamic encodes a value of several forms as the first that fits it.
func dynamic(param *event.ParamInfo, word string) (any, error) {
	for i, variant := range param.Variants {
		form := event.ParamInfo{Name: param.Name, Type: variant.Type}
		if form.Type.Size() == 0 {
			return append(append([]byte{byte(i)}, word...), 0), nil
		}
		v, err := numeric(&form, word)
		if err != nil {
			continue
		}
		b := binary.LittleEndian.AppendUint64([]byte{byte(i)}, v)
		return b[:1+form.Type.Size()], nil
	}
	return nil, fmt.Errorf("%q is none of the forms of its value", word)
}

// numeric reads a number, or words that stand for numbers, joined by '|'.
func numeric(param *event.ParamInfo, text string) (uint64, error) {
	if param.Type == event.TypeRelTime || param.Type == event.TypeAbsTime {
		if d, err := time.ParseDuration(text); err == nil {
			return uint64(d), nil
		}
	}
	var sum uint64
	for word := range strings.SplitSeq(text, "|") {
		word = strings.TrimSpace(word)
		v, ok := named(param, word)
		if !ok {
			n, err := strconv.ParseInt(word, 0, 64)
			u, err2 := strconv.ParseUint(word, 0, 64)
			switch {
			case err == nil:
				v = uint64(n)
			case err2 == nil:
				v = u
			default:
				return 0, fmt.Errorf("%q is not a number%s", word, labelHint(param, word))
			}
		}
		sum |= v
	}
	return sum, fits(param, sum)
}

// fits reports an error if a number is too large for its parameter.
func fits(param *event.ParamInfo, v uint64) error {
	bits := 8 * param.Type.Size()
	if bits == 64 || v>>bits == 0 || int64(v)>>(bits-1) == -1 {
		return nil
	}
	return fmt.Errorf("%d does not fit %s", v, param.Type)
}

// labelHint suggests the label that was probably meant.
func labelHint(param *event.ParamInfo, word string) string {
	if param.Table == nil {
		return ""
	}
	labels := map[string]bool{}
	for _, l := range param.Table.Labels {
		labels[l.Name] = true
	}
	return " and no label of " + param.Table.Name + hint(word, labels)
}

// moreWords are words for numbers that have no table.
var moreWords = map[string]uint64{"SOCK_STREAM": 1, "SOCK_DGRAM": 2, "SOCK_RAW": 3}

// named returns what a word stands for in a parameter.
func named(param *event.ParamInfo, word string) (uint64, bool) {
	if param.Table != nil {
		if v, ok := param.Table.Value(word); ok {
			return v, true
		}
	}
	switch param.Type {
	case event.TypeErrno, event.TypeFD, event.TypePID:
		if word == "AT_FDCWD" {
			return atCWD, true
		}
		v, ok := event.Table("errno").Value(strings.TrimPrefix(word, "-"))
		return -v, ok
	case event.TypeSigType:
		return event.Table("signal").Value(word)
	case event.TypeSyscallID:
		if s := event.SyscallByName(word); s != nil {
			return uint64(s.Code), true
		}
	case event.TypeBool:
		return map[string]uint64{"true": 1}[word], word == "true" || word == "false"
	}
	v, ok := moreWords[word]
	return v, ok
}

// atCWD is the descriptor AT_FDCWD, -100.
const atCWD = 1<<64 - 100
