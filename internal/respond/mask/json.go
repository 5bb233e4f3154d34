package mask

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// JSON returns a JSON value with the secrets in its texts replaced by Hidden.
// Numbers stay as exact as they were.
func JSON(b []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("mask: %w", err)
	}
	return json.Marshal(Values(v))
}

// Values masks all texts in a value that JSON was decoded into, and returns it.
// It changes v. A list of texts, as a command line is, is masked as one, since
// a flag and its value are two of them. What a name says is secret is replaced as a whole.
func Values(v any) any {
	switch v := v.(type) {
	case string:
		return String(v)
	case []any:
		return valuesOfList(v)
	case map[string]any:
		for k, x := range v {
			if Secret(k) {
				v[k] = Hidden
				continue
			}
			v[k] = Values(x)
		}
	}
	return v
}

// Secret reports whether a name is a field of an environment variable, a label
// or the like whose argument says that its value is secret: proc.env[DB_PASSWORD].
func Secret(name string) bool {
	_, arg, ok := strings.Cut(name, "[")
	return ok && isSecret(strings.TrimSuffix(arg, "]"))
}

func valuesOfList(list []any) any {
	// The fields of an alert are pairs of name and value.
	if name, ok := first(list); ok && Secret(name) {
		list[1] = Hidden
		return list
	}
	words := make([]string, len(list))
	for i, x := range list {
		s, ok := x.(string)
		if !ok {
			for i := range list {
				list[i] = Values(list[i])
			}
			return list
		}
		words[i] = s
	}
	if len(words) == 0 {
		return list
	}
	// A zero byte is in no argument, and is a blank to the mask.
	masked := strings.Split(String(strings.Join(words, "\x00")), "\x00")
	out := make([]any, len(masked))
	for i, w := range masked {
		out[i] = w
	}
	return out
}

// first returns the name in a pair.
func first(list []any) (name string, ok bool) {
	if len(list) != 2 {
		return "", false
	}
	name, ok = list[0].(string)
	return name, ok
}
