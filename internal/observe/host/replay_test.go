package host_test

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"rollcage/internal/observe/capture"
	"rollcage/internal/observe/event"
	"rollcage/internal/observe/host"
)

// sample is what an event of a capture refers to. The values are those that
// sysdig 0.41 shows for it; containers are those of sysdig 0.29.
type sample struct {
	num       uint64
	comm      string // of the process
	parent    string
	typ       byte // letter of the descriptor's type, 0 if there is none
	name      string
	container string
}

var samples = map[string][]sample{
	"curl_google.scap": {
		{211, "curl", "bash", 0, "", ""},
		{290, "curl", "bash", 'f', "/usr/lib/x86_64-linux-gnu/libgnutls.so.30", ""},
		{711, "curl", "bash", 'f', "/lib/x86_64-linux-gnu/libnss_files.so.2", ""},
		{833, "curl", "bash", '6', "2600:1f18:262c:6542:9aa6:df7a:9a47:d29e:37140->2607:f8b0:4004:802::2004:80", ""},
	},
	"docker-curl-https.scap": {
		{1169, "curl", "", 'f', "/lib/x86_64-linux-gnu/libgssapi_krb5.so.2", "25c8ce27e4e3"},
		{1286, "curl", "", 'f', "/lib/x86_64-linux-gnu/libk5crypto.so.3", "25c8ce27e4e3"},
		{1743, "curl", "", '4', "172.17.0.3:35012->172.66.0.96:80", "25c8ce27e4e3"}, // sysdig: <unknown>
		{1759, "curl", "", 'u', "", "25c8ce27e4e3"},
		{1935, "curl", "", '4', "172.17.0.3:40235->172.66.0.96:443", "25c8ce27e4e3"},
	},
	"502Error.scap": {
		{2839, "curl", "", 'f', "/lib/x86_64-linux-gnu/libnss_files.so.2", ""},
		{5608, "haproxy", "dockercloud-hap", '4', "192.168.0.3:54808->192.168.0.2:80", "59fd49aa4072"},
		{7185, "python", "", '4', "192.168.0.3:54838->192.168.0.2:80", "c78a447010cd"},
		{8445, "haproxy", "dockercloud-hap", '4', "192.168.0.1:44574->192.168.0.3:80", "59fd49aa4072"},
		{11267, "haproxy", "dockercloud-hap", '4', "127.0.0.1:55441->127.0.0.1:514", "59fd49aa4072"},
	},
	"ping_sendto.scap": {
		{137, "<NA>", "", '4', "10.0.2.15:1->128.32.41.1:0", ""},
	},
	"psp_run_as_user_0_container.scap": {
		{1219, "bash", "containerd-shim", 0, "", "697956520d89"},
		{1789, "ls", "bash", 'f', "/lib/x86_64-linux-gnu/libpthread.so.0", "697956520d89"},
		{1848, "ls", "bash", 'f', "/proc/filesystems", "697956520d89"},
		{1985, "ls", "bash", 0, "", "697956520d89"},
	},
	"cat_write.scap": {
		{137, "cat", "bash", 'f', "/etc/ld.so.cache", ""},
		{172, "cat", "bash", 'f', "/dev/null", ""},
	},
	"open-multiple-files.scap": {
		{1098, "python", "bash", 'f', "/tmp/file-1", ""},
		{1109, "python", "bash", 'f', "/tmp/file-4", ""},
	},
}

// openCapture opens a capture that others recorded, or skips the test.
func openCapture(t testing.TB, name string) *capture.Reader {
	t.Helper()
	dir := cmp.Or(os.Getenv("ROLLCAGE_CAPTURES"), "../../../../shared/captures")
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skip("no capture: ", err)
	}
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestReplayAgreesWithSysdig(t *testing.T) {
	for name, want := range samples {
		t.Run(name, func(t *testing.T) {
			src := openCapture(t, name)
			s := host.New(host.Options{})
			s.Load(src.Snapshot())
			var ev event.Event
			var he host.Event
			left := want
			for {
				err := src.Next(&ev)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				s.Apply(&ev, &he)
				if len(left) > 0 && ev.Num == left[0].num {
					if got := sampleOf(&he); got != left[0] {
						t.Errorf("%s\ngot  %+v\nwant %+v", ev.Type(), got, left[0])
					}
					left = left[1:]
				}
			}
			if len(left) > 0 {
				t.Errorf("event %d did not come", left[0].num)
			}
		})
	}
}

func sampleOf(he *host.Event) sample {
	got := sample{num: he.Num}
	if p := he.Process(); p != nil {
		got.comm, got.container = p.Comm, p.ContainerID()
		if p.Parent != nil {
			got.parent = p.Parent.Comm
		}
	}
	if he.FD != nil {
		got.typ, got.name = he.FD.Type.Letter(), he.FD.Name
	}
	return got
}

// BenchmarkReplay applies the events of a capture of a small web service.
func BenchmarkReplay(b *testing.B) {
	src := openCapture(b, "502Error.scap")
	snap := src.Snapshot()
	var all [][]byte
	var ev event.Event
	for src.Next(&ev) == nil {
		all = append(all, append([]byte(nil), ev.Bytes()...))
	}
	s := host.New(host.Options{})
	var he host.Event
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		s.Load(snap)
		for _, e := range all {
			if err := ev.Reset(e); err != nil {
				b.Fatal(err)
			}
			s.Apply(&ev, &he)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(all)), "ns/event")
}
