package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcage/internal/detect/rule"
	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/scene"
)

func TestMistakesAboutTheBlackBoxAreToldWithTheirPlace(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an unknown key", "- blackbox:\n    sise: 1MB\n", "p.yaml:2:5: error: unknown key of blackbox \"sise\"\n        sise: 1MB\n        ^\n    did you mean \"size\"?"},
		{"a key beside it", "- blackbox: {}\n  scope: {}\n", `p.yaml:2:3: error: unknown key of an entry of the black box "scope"`},
		{"no mapping", "- blackbox: 64MB\n", "p.yaml:1:13: error: blackbox is a mapping with the keys data, files, ports, reach, scope, size"},
		{"an unknown key of the scope", "- blackbox: {scope: {image: x}}\n", `unknown key of scope "image"`},
		{"a size without unit", "- blackbox: {size: 64}\n", "size is memory like 64MB"},
		{"a size that is less than nothing", "- blackbox: {size: -1MB}\n", "size is memory like 64MB"},
		{"a size beyond all memory", "- blackbox: {size: 9223372036854775807GB}\n", "size is memory like 64MB"},
		{"an empty size", "- blackbox: {size: }\n", "size is memory like 64MB"},
		{"a reach of days", "- blackbox: {reach: 48h}\n", "reach is at most 1h0m0s"},
		{"a class that there is not", "- blackbox: {data: {files: 1}}\n", `did you mean "file"?`},
		{"too many bytes", "- blackbox: {data: {file: 32769}}\n", "data.file is a number of bytes from 0 to 32768, not \"32769\""},
		{"no port", "- blackbox: {ports: {http: 1}}\n", `p.yaml:1:22: error: "http" is no port`},
		{"a port twice", "- blackbox: {ports: {80: 1, 080: 2}}\n", "port 80 is there twice"},
		{"too many ports", "- blackbox: {ports: {" + strings.Repeat("1: 1, ", 17) + "}}\n", "at most 16 entries"},
		{"bytes of a port that are none", "- blackbox: {ports: {80: all}}\n", `ports.80 is a number of bytes`},
		{"a path that is not absolute", "- blackbox: {files: {shadow: 1}}\n", `p.yaml:1:22: error: files has absolute paths on the host`},
		{"a list of files", "- blackbox: {files: [/etc/shadow]}\n", "files is a mapping of each path to a number of bytes"},
		{"two boxes", "- blackbox: {size: 1MB}\n- blackbox: {size: 2MB}\n", "p.yaml:2:3: error: there is one black box, and p.yaml:1 says already what it keeps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := Load([]rule.File{{Name: "p.yaml", Data: []byte(c.text)}})
			var all strings.Builder
			for _, p := range problems {
				all.WriteString(p.Format())
			}
			if !Failed(problems) || !strings.Contains(all.String(), c.want) {
				t.Errorf("got %s\nwant …%s…", all.String(), c.want)
			}
		})
	}
}

func TestTheBlackBoxIsAsPoliciesSay(t *testing.T) {
	got := load(t, `
- blackbox:
    scope: {on: containers, images: ['shop/*'], except: {labels: {data: none}}}
    size: 1 GB
    reach: 2m
    data: {file: 0, network: 4096}
    ports: {5432: 8192}
    files: {/etc/shadow: 32768}
`).Box()
	got.Position = rule.Position{}
	want := BlackBox{
		Scope: Scope{On: Containers, Images: []string{"shop/*"}}, Except: Scope{Labels: map[string]string{"data": "none"}},
		Size: 1 << 30, Reach: 2 * time.Minute, Data: probe.BoxSnaplens{Inet: 4096, Unix: 256, Pipe: 1024, Other: 1024},
		Ports: map[uint16]int{5432: 8192}, Files: map[string]int{"/etc/shadow": 32768},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if where := got.Where(); where != "in containers, images shop/*; except label data=none" {
		t.Errorf("where: %s", where)
	}
	if none := load(t, "").Box(); !cmp.Equal(none, DefaultBlackBox()) || none.Where() != "everything" {
		t.Errorf("without an entry: %+v", none)
	}
	if b := load(t, "- blackbox: {size: 0}").Box(); b.Size != 0 {
		t.Errorf("no black box: %+v", b)
	}
}

func TestTheBlackBoxRecordsWhatIsInItsScopeAndWhatCouldBe(t *testing.T) {
	web, unknown := &scene.Container{ID: "a", Name: "web-1", Image: "shop/web"}, &scene.Container{ID: "b"}
	for _, c := range []struct {
		name, scope string
		container   *scene.Container
		why         string
	}{
		{"the host", "", nil, ""},
		{"a container", "", web, ""},
		{"the host when containers are wanted", "on: containers", nil, "it is not in a container"},
		{"a container by its name", "containers: 'web-*'", web, ""},
		{"another name", "containers: 'db-*'", web, "the container's name is not in scope.containers"},
		{"a container that is excepted", "on: containers, except: {images: 'shop/*'}", web, "it is in scope.except"},
		{"a name that is not known yet", "containers: 'db-*'", unknown, ""},
		{"a name that is not known yet and may be excepted", "except: {containers: 'db-*'}", unknown, ""},
		{"an unknown container when the host is wanted", "on: host", unknown, "it is not on the host itself"},
		{"another host", "hosts: other", unknown, "the host is not in scope.hosts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := load(t, "- blackbox: {scope: {"+c.scope+"}}").Box()
			if why := b.Records(c.container, "node-1"); why != c.why {
				t.Errorf("%q, want %q", why, c.why)
			}
		})
	}
}
