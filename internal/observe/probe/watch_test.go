package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rollcage/internal/observe/event"
)

// A scene makes system calls in a process of its own, on its main thread, and
// returns the events that they must cause: see describe for the form. A star
// stands for any text.
type scene struct {
	name     string   // a sentence
	syscalls []string // that are wanted
	act      func() []string
}

// sceneEnv tells a test binary which scene it is to play.
const sceneEnv = "ROLLCAGE_PROBE_SCENE"

// steady keeps Go's own signals from interrupting the calls of a scene.
const steady = "GODEBUG=asyncpreemptoff=1"

var allScenes = map[string]func() []string{}

func TestMain(m *testing.M) {
	for _, s := range scenes() {
		allScenes[s.name] = s.act
	}
	allScenes["sleeper"] = func() []string { time.Sleep(time.Hour); return nil }
	if name := os.Getenv(sceneEnv); name != "" {
		playScene(name)
		return
	}
	os.Exit(m.Run())
}

func scenes() []scene {
	var all []scene
	for _, group := range [][]scene{fileScenes, nameScenes, descriptorScenes, dataScenes, socketScenes, memoryScenes,
		processScenes, credentialScenes, rareScenes, archScenes} {
		all = append(all, group...)
	}
	return all
}

// script is what a scene tells the test.
type script struct {
	TID  int
	Want []string
}

func init() { runtime.LockOSThread() } // so that main, and with it a scene, runs on the main thread

func playScene(name string) {
	act, ok := allScenes[name]
	if !ok {
		panic("no scene " + name)
	}
	s := script{TID: unix.Gettid()}
	s.Want = act()
	_ = json.NewEncoder(os.Stdout).Encode(s)
}

// must ends a scene in which a call failed that must not.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

var theProbe struct {
	sync.Once
	p   *Probe
	err error
}

// sharedProbe is one probe for all tests that only look at what others do.
func sharedProbe(t testing.TB) *Probe {
	needKernel(t)
	theProbe.Do(func() { theProbe.p, theProbe.err = Open(Options{}) })
	if theProbe.err != nil {
		t.Fatal(theProbe.err)
	}
	return theProbe.p
}

// watch runs do and returns copies of the events of that time.
func watch(t testing.TB, p *Probe, do func()) []*event.Event {
	t.Helper()
	drain(t, p, uint64(time.Now().UnixNano())) // what nobody has looked at may have filled the rings
	do()
	return drain(t, p, uint64(time.Now().UnixNano()))
}

// drain returns copies of the events up to a time.
func drain(t testing.TB, p *Probe, end uint64) []*event.Event {
	t.Helper()
	var all []*event.Event
	var ev event.Event
	for {
		err := p.Next(&ev)
		if errors.Is(err, event.ErrIdle) {
			if p.Stats().CaughtUp > end {
				return all
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if ev.Time() > end {
			return all
		}
		c := &event.Event{CPU: ev.CPU, Latency: ev.Latency}
		if err := c.Reset(bytes.Clone(ev.Bytes())); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
}

// playAndWatch plays a scene in a child and returns its script and the events of that time.
func playAndWatch(t *testing.T, s scene) (script, []*event.Event) {
	return playAndWatchWith(t, sharedProbe(t), s)
}

func playAndWatchWith(t *testing.T, p *Probe, s scene) (script, []*event.Event) {
	t.Helper()
	var in event.Interest
	in.AddSyscalls(s.syscalls...)
	if err := p.SetInterest(in); err != nil {
		t.Fatal(err)
	}
	var sc script
	events := watch(t, p, func() {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{"scene", "one two", ""}
		cmd.Env = append(os.Environ(), sceneEnv+"="+s.name, "ROLLCAGE_X=y z", steady)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if skip, ok := bytes.CutPrefix(out, []byte("skip: ")); ok {
			t.Skip(string(skip))
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		if err := json.Unmarshal(out, &sc); err != nil {
			t.Fatalf("%v in %q", err, out)
		}
	})
	return sc, events
}

// skipScene ends a scene that this kernel cannot play.
func skipScene(why any) []string {
	fmt.Printf("skip: %v", why)
	os.Exit(0)
	return nil
}

func TestEachCallGivesTheRightEvent(t *testing.T) {
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			sc, events := playAndWatch(t, s)
			if len(sc.Want) == 0 {
				t.Fatal("the scene expects nothing")
			}
			var got []string
			for _, ev := range events {
				if ev.TID() == int64(sc.TID) {
					got = append(got, describe(ev))
				}
			}
			next := 0
			for _, line := range got {
				if next < len(sc.Want) && pattern(sc.Want[next]).MatchString(line) {
					next++
				}
			}
			if next < len(sc.Want) {
				t.Errorf("missing, in this order:\n%s\namong:\n%s", strings.Join(sc.Want[next:], "\n"), strings.Join(got, "\n"))
			}
		})
	}
}

func pattern(want string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(want), `\*`, ".*") + "$")
}

// describe renders an event as TYPE NAME=VALUE …, with labels for flags.
func describe(ev *event.Event) string {
	var b strings.Builder
	b.WriteString(ev.Type().String())
	for i := range ev.NumParams() {
		p := &ev.Info().Params[i]
		fmt.Fprintf(&b, " %s=%s", p.Name, value(ev, i, p))
	}
	return b.String()
}

func value(ev *event.Event, i int, p *event.ParamInfo) string {
	raw := ev.Param(i)
	if len(raw) == 0 {
		return "-"
	}
	switch p.Type {
	case event.TypeCharbuf, event.TypeFSPath, event.TypeFSRelPath:
		if raw[len(raw)-1] != 0 {
			return fmt.Sprintf("UNTERMINATED%q", raw)
		}
		return fmt.Sprintf("%q", raw[:len(raw)-1])
	case event.TypeBytebuf:
		return fmt.Sprintf("%q", raw)
	case event.TypeSockaddr:
		return sockaddr(raw)
	case event.TypeSocktuple:
		return tuple(raw)
	case event.TypeDyn:
		v := p.Variants[raw[0]]
		return fmt.Sprintf("%d:%s", raw[0], number(raw[1:], v.Type))
	case event.TypeFDList:
		return fdList(raw)
	}
	if want := p.Type.Size(); want != len(raw) {
		return fmt.Sprintf("WIDTH%d", len(raw))
	}
	if p.Table == nil {
		return number(raw, p.Type)
	}
	v, _ := event.Uint(raw)
	switch p.Type {
	case event.TypeEnumFlags8, event.TypeEnumFlags16, event.TypeEnumFlags32:
		return string(p.Table.AppendEnum(nil, v))
	}
	return string(p.Table.AppendFlags(nil, v))
}

func number(raw []byte, typ event.ParamType) string {
	if typ == event.TypeBytebuf || typ == event.TypeCharbuf {
		return fmt.Sprintf("%q", raw)
	}
	if typ.Signed() {
		v, _ := event.Int(raw)
		return fmt.Sprint(v)
	}
	v, _ := event.Uint(raw)
	return fmt.Sprint(v)
}

func addrPort(raw []byte) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(raw[:len(raw)-2])
	return netip.AddrPortFrom(ip, uint16(raw[len(raw)-2])|uint16(raw[len(raw)-1])<<8)
}

func sockaddr(raw []byte) string {
	if raw[0] == unix.AF_UNIX {
		return fmt.Sprintf("unix:%q", raw[1:])
	}
	return addrPort(raw[1:]).String()
}

func tuple(raw []byte) string {
	if raw[0] == unix.AF_UNIX {
		zero := func(b []byte) string {
			if v, _ := event.Uint(b); v == 0 {
				return "0"
			}
			return "sock"
		}
		return fmt.Sprintf("%s->%s %q", zero(raw[1:9]), zero(raw[9:17]), raw[17:])
	}
	half := (len(raw) - 1) / 2
	return addrPort(raw[1:1+half]).String() + "->" + addrPort(raw[1+half:]).String()
}

func fdList(raw []byte) string {
	var parts []string
	for b := raw[2:]; len(b) >= 10; b = b[10:] {
		fd, _ := event.Int(b[:8])
		flags, _ := event.Uint(b[8:10])
		parts = append(parts, fmt.Sprintf("%d:%s", fd, event.Table("poll_flags").AppendFlags(nil, flags)))
	}
	return fmt.Sprintf("%d[%s]", raw[0], strings.Join(parts, " "))
}
