package console

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"time"

	"rollcage/internal/inspect/access"
)

// document is a part of an OpenAPI document.
type document = map[string]any

// OpenAPI returns the OpenAPI 3.1 document of everything that is served, made
// from the table of routes.
var OpenAPI = sync.OnceValue(func() []byte {
	s := &schemas{byName: document{}}
	paths := document{}
	for i := range routes {
		rt := &routes[i]
		path := strings.ReplaceAll(rt.path, "...}", "}")
		ops, _ := paths[path].(document)
		if ops == nil {
			ops = document{}
			paths[path] = ops
		}
		ops[strings.ToLower(rt.method)] = rt.operation(s)
	}
	s.byName["Problem"] = document{"type": "object", "properties": document{"error": document{
		"type": "object", "properties": document{"message": document{"type": "string"}}, "required": []string{"message"},
	}}, "required": []string{"error"}}
	b, _ := json.MarshalIndent(document{
		"openapi": "3.1.0",
		"info": document{
			"title": "Rollcage guard", "version": "1", "license": document{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Incidents, actions, policies and the live host. See docs/api.md. Each operation names the least role in x-rollcage-role.",
		},
		"paths": paths,
		"components": document{
			"schemas": s.byName,
			"securitySchemes": document{
				"bearer":  document{"type": "http", "scheme": "bearer", "description": "A token of rollcage token create, or one of the OpenID Connect issuer."},
				"session": document{"type": "apiKey", "in": "cookie", "name": access.Cookie + "_PORT", "description": "A session in a browser; PORT is the one of the address. Changes need the header X-Rollcage: 1 too."},
			},
		},
		"security": []document{{"bearer": []string{}}, {"session": []string{}}},
	}, "", "  ")
	return append(b, '\n')
})

func openAPI(c *call) error {
	c.w.Header().Set("Content-Type", "application/json")
	_, err := c.w.Write(OpenAPI())
	return err
}

var inPath = regexp.MustCompile(`\{(\w+)`)

func (rt *route) operation(s *schemas) document {
	params := []document{}
	for _, m := range inPath.FindAllStringSubmatch(rt.path, -1) {
		params = append(params, document{"name": m[1], "in": "path", "required": true, "schema": document{"type": "string"}})
	}
	for _, p := range rt.query {
		params = append(params, document{"name": p.name, "in": "query", "description": p.doc, "schema": document{"type": p.kind}})
	}
	media := rt.media
	if media == "" {
		media = "application/json"
	}
	content := document{}
	if rt.answer != nil {
		content["schema"] = s.of(reflect.TypeOf(rt.answer))
	}
	op := document{
		"operationId": rt.id, "summary": rt.summary, "x-rollcage-role": rt.role.String(),
		"responses": document{
			"200":     document{"description": "Done.", "content": document{media: content}},
			"default": document{"description": "Refused or failed.", "content": document{"application/json": document{"schema": document{"$ref": "#/components/schemas/Problem"}}}},
		},
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if rt.body != nil {
		op["requestBody"] = document{"required": true, "content": document{"application/json": document{"schema": s.of(reflect.TypeOf(rt.body))}}}
	}
	if rt.role == access.Nobody {
		op["security"] = []document{}
	}
	return op
}

// schemas describes types of Go as JSON Schema, each named one once.
type schemas struct{ byName document }

var (
	timeType    = reflect.TypeFor[time.Time]()
	rawType     = reflect.TypeFor[json.RawMessage]()
	marshalText = reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()
)

func (s *schemas) of(t reflect.Type) document {
	switch {
	case t == timeType:
		return document{"type": "string", "format": "date-time"}
	case t == rawType:
		return document{}
	case t.Implements(marshalText):
		return document{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return document{"type": "boolean"}
	case reflect.String:
		return document{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return document{"type": "number"}
	case reflect.Slice:
		return document{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return document{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.object(t)
	}
	return document{"type": "integer"}
}

func (s *schemas) object(t reflect.Type) document {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	ref := document{"$ref": "#/components/schemas/" + name}
	if s.byName[name] != nil {
		return ref
	}
	props, required := document{}, []string{}
	out := document{"type": "object", "properties": props}
	s.byName[name] = out
	for _, f := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || tag == "-" {
			continue
		}
		props[tag] = s.of(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, tag)
		}
	}
	if len(required) > 0 {
		out["required"] = required
	}
	return ref
}
