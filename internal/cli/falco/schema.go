package falco

import (
	"bytes"
	_ "embed" // the schemas
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// A schema says how a file is expected to look. What it finds is told and
// changes nothing else.
type schema struct {
	name     string
	text     []byte
	compiled func() *jsonschema.Schema
}

//go:embed schema/config.json
var configSchemaText []byte

//go:embed schema/rules.json
var rulesSchemaText []byte

var (
	configSchema = newSchema("config.json", configSchemaText)
	rulesSchema  = newSchema("rules.json", rulesSchemaText)
)

func newSchema(name string, text []byte) *schema {
	return &schema{name, text, sync.OnceValue(func() *jsonschema.Schema {
		c := jsonschema.NewCompiler()
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err == nil {
			err = c.AddResource(name, doc)
		}
		var s *jsonschema.Schema
		if err == nil {
			s, err = c.Compile(name)
		}
		if err != nil {
			panic(fmt.Sprintf("the schema %s: %v", name, err)) // a test holds that it is valid
		}
		return s
	})}
}

// The results of a check.
const (
	schemaOK     = "ok"
	schemaNone   = "none"
	schemaFailed = "failed"
)

// check returns the result of checking a document: ok, or failed and why.
func (s *schema) check(n *yaml.Node) string {
	problems := s.problems(n)
	if len(problems) == 0 {
		return schemaOK
	}
	return schemaFailed + " " + strings.Join(problems, "; ")
}

// problems returns what is wrong with a document, with its place in it.
func (s *schema) problems(n *yaml.Node) []string {
	var v any
	if err := n.Decode(&v); err != nil {
		return []string{err.Error()}
	}
	var wrong *jsonschema.ValidationError
	if err := s.compiled().Validate(plain(v)); !errors.As(err, &wrong) {
		return nil
	}
	var out []string
	describeSchemaError(wrong, &out)
	return out
}

var english = message.NewPrinter(language.English)

// describeSchemaError lists the innermost causes of an error.
func describeSchemaError(e *jsonschema.ValidationError, out *[]string) {
	if _, either := e.ErrorKind.(*kind.AnyOf); either || len(e.Causes) == 0 {
		var at strings.Builder
		at.WriteString("<root>")
		for _, step := range e.InstanceLocation {
			at.WriteString("[" + step + "]")
		}
		text := at.String() + ": " + e.ErrorKind.LocalizedString(english)
		if !slices.Contains(*out, text) {
			*out = append(*out, text)
		}
		return
	}
	for _, c := range e.Causes {
		describeSchemaError(c, out)
	}
}

// plain turns what YAML gives into what JSON could have given.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = plain(e)
		}
		return v
	case map[any]any:
		out := map[string]any{}
		for k, e := range v {
			out[fmt.Sprint(k)] = plain(e)
		}
		return out
	case []any:
		for i, e := range v {
			v[i] = plain(e)
		}
		return v
	case nil, bool, string, float64:
		return v
	case int, int64, uint64:
		return json.Number(fmt.Sprint(v))
	}
	return fmt.Sprint(v) // times
}

// checkRules returns what is wrong with a rules file. valid is false for a file
// that is no YAML, too.
func checkRules(data []byte) (problems []string, valid bool) {
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return problems, len(problems) == 0
		case err != nil:
			return problems, false
		case doc.Kind == yaml.DocumentNode && doc.Content[0].ShortTag() == "!!null":
		default:
			problems = append(problems, rulesSchema.problems(&doc)...)
		}
	}
}
