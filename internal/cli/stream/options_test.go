package stream

import (
	"testing"

	"github.com/spf13/pflag"
)

func TestRuntimesAreNamedByFlags(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	for _, c := range []struct {
		name string
		args []string
		want []string // names of the engines; nil: wrong usage
	}{
		{"one", []string{"--runtime", "cri:/run/a.sock"}, []string{"cri at /run/a.sock"}},
		{"two", []string{"--runtime", "cri:/run/a.sock", "--runtime", "podman:/run/b.sock"}, []string{"cri at /run/a.sock", "podman at /run/b.sock"}},
		{"none", []string{"--runtime", "off"}, []string{}},
		{"docker by its old flag", []string{"--docker", "unix:///run/c.sock"}, []string{"docker at /run/c.sock"}},
		{"none by the old flag", []string{"--docker", "off"}, []string{}},
		{"none by the old flag without an address", []string{"--docker", ""}, []string{}},
		{"none and one", []string{"--runtime", "off", "--runtime", "cri:/run/a.sock"}, nil},
		{"no kind", []string{"--runtime", "/run/a.sock"}, nil},
		{"no socket", []string{"--runtime", "cri:a.sock"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o Options
			f := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o.AddFlags(f)
			if err := f.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			engines, err := o.engines()
			if (err != nil) != (c.want == nil) || len(engines) != len(c.want) {
				t.Fatalf("got %v, %v", engines, err)
			}
			for i, e := range engines {
				if e.Name() != c.want[i] {
					t.Errorf("engine %d is %s, want %s", i, e.Name(), c.want[i])
				}
				_ = e.Close()
			}
		})
	}
}

func TestTheDockerToActOnIsTheOneThatIsAsked(t *testing.T) {
	for _, c := range []struct {
		want string
		args []string
	}{
		{"", nil},
		{"", []string{"--docker", "off"}},
		{"unix:///run/c.sock", []string{"--docker", "unix:///run/c.sock"}},
		{"tcp://127.0.0.1:1", []string{"--runtime", "cri:/run/a.sock", "--runtime", "docker:tcp://127.0.0.1:1"}},
	} {
		var o Options
		f := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.AddFlags(f)
		if err := f.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		if got := o.Docker(); got != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

func TestTheHostsOwnRuntimesAreAskedWithoutAFlag(t *testing.T) {
	for _, args := range [][]string{nil, {"--runtime", "auto"}, {"--docker", "auto"}, {"--runtime", "auto", "--runtime", "podman:/run/user/1000/podman.sock"}} {
		var o Options
		f := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.AddFlags(f)
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		engines, err := o.engines()
		if err != nil || len(engines) < 4 {
			t.Errorf("%q: %v, %v", args, engines, err)
		}
		for _, e := range engines {
			_ = e.Close()
		}
	}
}
