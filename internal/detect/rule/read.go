package rule

import (
	"go.yaml.in/yaml/v3"
)

// reader reads the items of one file into the loader's collections.
type reader struct {
	l    *loader
	file *content
}

func (r *reader) scalar(n *yaml.Node) *scalar { return &scalar{r.file, n} }

// report records an error or warning of the file.
func (r *reader) report(w *where, code Code, format string, args ...any) *Problem {
	return r.l.problem(w, code, format, args...)
}

// stopped reports whether the file's remaining items must not be read.
func (r *reader) stopped() bool { return r.l.opts.Compatible && !r.l.res.OK() }

// read reads all items of a file.
func (l *loader) read(f File) {
	c := newContent(f.Name, f.Data)
	if f.Err != nil {
		l.record(l.res, &Problem{Code: ErrFileRead, Message: f.Err.Error(), Position: Position{File: f.Name}, where: top(c)})
		return
	}
	l.results[c] = l.res
	r := &reader{l: l, file: c}
	docs, err := documents(f.Data)
	if err == nil || !l.opts.Compatible {
		for _, d := range docs {
			r.document(d)
		}
	}
	if err != nil {
		line, message := yamlError(err)
		w := &where{kind: kindContent, file: c, offset: c.offset(line, 1)}
		if l.opts.Compatible {
			w.offset, message = 0, c.classicYAMLError(line, message)
		}
		p := &Problem{Code: ErrYAMLParse, Message: message, Position: Position{File: f.Name, Line: line}, where: w}
		p.Line = c.line(line)
		l.record(l.res, p)
	}
}

func (r *reader) document(doc *yaml.Node) {
	if len(doc.Content) == 0 || isNull(doc.Content[0]) || r.stopped() {
		return
	}
	root := resolve(doc.Content[0])
	at := top(r.file)
	switch root.Kind {
	case yaml.ScalarNode:
		r.report(at.at(kindContentItem, "", r.scalar(root)), ErrYAMLValidate, "Rules content is not yaml")
		return
	case yaml.SequenceNode:
	default:
		r.report(at.at(kindContentItem, "", r.scalar(root)), ErrYAMLValidate, "Rules content is not yaml array of objects")
		return
	}
	for _, n := range root.Content {
		if n = resolve(n); !isNull(n) && !r.stopped() {
			r.item(at, n)
		}
	}
}

// itemReaders are the kinds of items by the key that tells them, in the order
// in which they are looked for.
var itemReaders = []struct {
	key  string
	read func(r *reader, at *where, n *yaml.Node)
}{
	{"required_engine_version", (*reader).engineVersion},
	{"required_plugin_versions", (*reader).pluginVersions},
	{"list", (*reader).list},
	{"macro", (*reader).macro},
	{"rule", (*reader).rule},
}

func (r *reader) item(at *where, n *yaml.Node) {
	e := &entry{r: r, node: n, at: at.at(kindContentItem, "", r.scalar(n))}
	if n.Kind != yaml.MappingNode {
		e.fail(e.at, "Unexpected element type. Each element should be a yaml associative array.")
		return
	}
	for _, k := range itemReaders {
		if e.has(k.key) {
			k.read(r, at, n)
			return
		}
	}
	p := e.r.report(e.at, UnknownItem, "Unknown top level item")
	if len(n.Content) > 0 {
		p.suggest(n.Content[0].Value, itemKeys())
	}
}

func itemKeys() []string {
	var keys []string
	for _, k := range itemReaders {
		keys = append(keys, k.key)
	}
	return keys
}

// named starts an entry whose name is under the key that tells its kind.
func (r *reader) named(at *where, kind string, n *yaml.Node) (*entry, string) {
	e := &entry{r: r, node: n, at: at.at(kind, "", r.scalar(n))}
	s := e.required(kind)
	if s == nil {
		return e, ""
	}
	e.at.name = s.node.Value
	return e, s.node.Value
}
