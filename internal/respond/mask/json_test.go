package mask

import "testing"

func TestJSONMasksTextsWhereverTheyAre(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a flag and its value in a command line", `{"args":["psql","--password","hunter2","db"]}`, `{"args":["psql","--password","***","db"]}`},
		{"a pair in a command line", `{"args":["env","TOKEN=abc","sh"]}`, `{"args":["env","TOKEN=***","sh"]}`},
		{"deep inside", `{"a":[{"b":"password=x y"}]}`, `{"a":[{"b":"password=*** y"}]}`},
		{"the argument of a field", `{"proc.env[DB_PASSWORD]":"hunter2","proc.name":"sh"}`, `{"proc.env[DB_PASSWORD]":"***","proc.name":"sh"}`},
		{"a pair of name and value", `[["proc.env[DB_PASSWORD]","hunter2"],["proc.name","sh"]]`, `[["proc.env[DB_PASSWORD]","***"],["proc.name","sh"]]`},
		{"exact numbers", `{"start":1790000000123456789}`, `{"start":1790000000123456789}`},
		{"a list that is not only of texts", `[1,"token=x",null]`, `[1,"token=***",null]`},
		{"an empty list", `[]`, `[]`},
	} {
		got, err := JSON([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s %v, want %s", c.name, got, err, c.want)
		}
	}
	if _, err := JSON([]byte(`{"a":`)); err == nil {
		t.Error("half a value is no error")
	}
}
