package host

import (
	"reflect"
	"strings"
	"testing"

	"rollcage/internal/observe/event"
)

const (
	longID  = "a81b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcdef"
	otherID = "0f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdef0123456789abcdef"
)

func TestContainerFromCgroups(t *testing.T) {
	type found struct {
		full string
		typ  ContainerType
	}
	host := found{"", Unknown}
	for path, want := range map[string]found{
		// The host itself, and what only looks like a container.
		"/":           host,
		"/init.scope": host,
		"/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope": host,
		"/system.slice/docker.service":                                              host,
		"/system.slice/containerd.service":                                          host,
		"/machine.slice/machine-debian.scope":                                       host,
		`/machine.slice/machine-qemu\x2d1\x2dvm.scope`:                              host,
		"/machine.slice/systemd-nspawn@debian.service/payload":                      host,
		"/machine.slice/libpod-conmon-" + longID + ".scope":                         host,
		"/system.slice/crio-conmon-" + longID + ".scope":                            host,
		"/lxc.monitor.web":                                                          host,
		"/system.slice/docker-" + longID[:63] + ".scope":                            host,
		"/system.slice/docker-" + strings.ToUpper(longID) + ".scope":                host,
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1234.slice": host,

		// Docker: cgroupfs and systemd drivers, other parents, rootless, nested.
		"/docker/" + longID:                                    {longID, Docker},
		"/docker/" + longID + "/init":                          {longID, Docker},
		"/docker/" + longID + "/system.slice/ssh.service":      {longID, Docker},
		"/system.slice/docker-" + longID + ".scope":            {longID, Docker},
		"/system.slice/docker-" + longID + ".scope/init.scope": {longID, Docker},
		"/my.slice/docker-" + longID + ".scope":                {longID, Docker},
		"/my-parent/" + longID:                                 {longID, Docker},
		"/actions_job/" + longID:                               {longID, Docker},
		"/ecs/0f3e-task/" + longID:                             {longID, Docker},
		"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + longID + ".scope": {longID, Docker},
		"/docker/" + otherID + "/docker/" + longID:                                             {longID, Docker},

		// Kubernetes.
		"/kubepods/besteffort/pod8f5b7c1e/" + longID:                                                                 {longID, CRI},
		"/kubepods.slice/kubepods-pod8f5b7c1e.slice/cri-containerd-" + longID + ".scope":                             {longID, Containerd},
		"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod8.slice/cri-containerd-" + longID + ".scope":      {longID, Containerd},
		"/system.slice/containerd.service/kubepods-burstable-pod8.slice:cri-containerd:" + longID:                    {longID, Containerd},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod8.slice/crio-" + longID + ".scope":           {longID, CRIO},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod8.slice/crio-" + longID + ".scope/container": {longID, CRIO},
		"/kubepods/burstable/pod8f5b7c1e/crio-" + longID:                                                             {longID, CRIO},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod8.slice/docker-" + longID + ".scope":         {longID, Docker},

		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod8f5b7c1e_4a2d.slice/cri-containerd-" + longID + ".scope/init.scope": {longID, Containerd},
		"/kubelet/kubepods/burstable/pod8f5b7c1e/" + longID:                                             {longID, CRI},
		"/kubepods/burstable/pod8f5b7c1e/" + longID + "/system.slice/ssh.service":                       {longID, CRI},
		"/k8s.io/" + longID + "/kubepods/pod8f5b7c1e/" + otherID:                                        {otherID, CRI},
		"/docker/" + otherID + "/kubelet.slice/kubepods-pod8.slice/cri-containerd-" + longID + ".scope": {longID, Containerd}, // kind
		"/docker/" + otherID + "/kubelet/kubepods/besteffort/pod8f5b7c1e/" + longID:                     {longID, CRI},
		"/system.slice/k3s.service/kubepods/besteffort/pod8f5b7c1e/" + longID:                           {longID, CRI},
		"/libpod_parent/libpod-" + otherID + "/kubepods/pod8f5b7c1e/" + longID:                          {longID, CRI}, // kind on Podman

		"/kubepods/burstable/pod8f5b7c1e/" + otherID + "/docker/" + longID: {longID, Docker},

		// containerd by itself, nerdctl.
		"/default/" + longID:                         {longID, Containerd},
		"/k8s.io/" + longID:                          {longID, Containerd},
		"/system.slice/nerdctl-" + longID + ".scope": {longID, Containerd},
		"/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-" + longID + ".scope": {longID, Containerd},

		// Podman: root and rootless, cgroupfs, split mode.
		"/machine.slice/libpod-" + longID + ".scope":                                                      {longID, Podman},
		"/machine.slice/libpod-" + longID + ".scope/container":                                            {longID, Podman},
		"/libpod_parent/libpod-" + longID:                                                                 {longID, Podman},
		"/system.slice/web.service/libpod-payload-" + longID:                                              {longID, Podman},
		"/libpod_parent/" + otherID + "/libpod-" + longID:                                                 {longID, Podman}, // in a pod
		"/machine.slice/machine-libpod_pod_" + otherID + ".slice/libpod-" + longID + ".scope":             {longID, Podman},
		"/machine.slice/machine-libpod_pod_" + otherID + ".slice/libpod-" + longID + ".scope/container":   {longID, Podman},
		"/system.slice/web.service/libpod-" + longID + "/container":                                       {longID, Podman},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/podman-7.scope/libpod-payload-" + longID: {longID, Podman},
		"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + longID + ".scope/container":  {longID, Podman},

		// LXC, Incus, libvirt, and the old ones.
		"/lxc/web":                          {"web", LXC},
		"/lxc.payload/web":                  {"web", LXC},
		"/lxc.payload.web":                  {"web", LXC},
		"/lxc.payload.web/init.scope":       {"web", LXC},
		"/lxc.payload.web/docker/" + longID: {longID, Docker},
		"/machine/web.libvirt-lxc":          {"web", LibvirtLXC},
		`/machine.slice/machine-lxc\x2d12\x2dmy\x2dweb.scope`:                                  {"my-web", LibvirtLXC},
		`/machine.slice/machine-rkt\x2d1e2d3c4b\x2d5a69\x2d7887\x2d96a5\x2db4c3d2e1f001.scope`: {"1e2d3c4b-5a69-7887-96a5-b4c3d2e1f001", Rkt},
		"/mesos/1e2d3c4b-5a69-7887-96a5-b4c3d2e1f001":                                          {"1e2d3c4b-5a69-7887-96a5-b4c3d2e1f001", Mesos},
	} {
		id, full, typ, ok := ContainerFromCgroups("cpuset=/\x00memory=" + path + "\x00pids=/")
		if full != want.full || typ != want.typ || ok != (want.full != "") {
			t.Errorf("%s: %q type %d, want %q type %d", path, full, typ, want.full, want.typ)
		}
		if short := shortID(want.full, want.typ); id != short {
			t.Errorf("%s: short id %q, want %q", path, id, short)
		}
	}
}

func TestThreadsKnowTheirContainer(t *testing.T) {
	const cgroup = "cpuset=/docker/" + longID
	r := newRun(t, Options{})
	r.do(300, event.SYSCALL_CLONE_20_X, forked{tid: 300, pid: 300, ptid: 100, vtid: 1, vpid: 1, cgroups: cgroup}.values()...)
	p := r.need(300)
	if p.Container == nil || p.ContainerID() != longID[:12] || p.Container.FullID != longID || p.Container.Type != Docker || p.Container.Known {
		t.Fatalf("container %+v", p.Container)
	}
	t.Run("a child is where its parent is", func(t *testing.T) {
		r.do(301, event.SYSCALL_CLONE_20_X, forked{tid: 301, pid: 301, ptid: 300, vtid: 2, vpid: 2, cgroups: cgroup}.values()...)
		if c := r.need(301); c.Container != p.Container || &c.Cgroups[0] != &p.Cgroups[0] {
			t.Error("not the same container, or the list was copied")
		}
	})
	t.Run("exec tells of a move", func(t *testing.T) {
		r.do(301, event.SYSCALL_EXECVE_19_X, 0, "x", nil, 301, 301, 300, "", 1, 1, 1, 1, 1, 1, "x", []byte("cpuset=/\x00"))
		if c := r.need(301).Container; c != nil {
			t.Errorf("still in %s", c.ID)
		}
	})
	t.Run("facts reach the threads and change their images", func(t *testing.T) {
		image, outside := p.Image, r.need(100).Image
		json := `{"container":{"id":"` + longID[:12] + `","type":0,"name":"web","image":"nginx:1.27"}}`
		he := r.do(-1, event.ASYNCEVENT_E, 0, "container", []byte(json+"\x00"))
		if he.Thread != nil || p.Container.Name != "web" || !p.Container.Known || p.Container.FullID != longID || p.Container.ImageRepo != "nginx" || p.Container.ImageTag != "1.27" {
			t.Errorf("container %+v", p.Container)
		}
		if p.Image == image || r.need(100).Image != outside {
			t.Error("image of the container's thread must change, others' stay")
		}
	})
	t.Run("one that is removed stays as long as it has threads", func(t *testing.T) {
		r.do(-1, event.USER_ADDED_E, 7, 7, "app", "/", "/bin/sh", longID[:12])
		r.do(-1, event.ASYNCEVENT_E, 0, "container_removed", []byte(`{"container":{"id":"`+longID[:12]+`"}}`))
		if r.Container(longID[:12]) == nil || r.User(7, longID[:12]) == nil {
			t.Fatal("gone too early")
		}
		r.exit(300, 0)
		r.do(100, event.SYSCALL_GETCWD_X, 0, "/root")
		if r.Container(longID[:12]) != nil || r.User(7, longID[:12]) != nil {
			t.Error("it is still there")
		}
	})
}

func TestChildMadeInACgroupIsInItsContainer(t *testing.T) {
	parent := []any{100, event.SYSCALL_CLONE3_X, forked{res: 500, tid: 100, pid: 100, cgroups: "cpu=/user.slice"}.values()}
	child := []any{500, event.SYSCALL_CLONE3_X, forked{tid: 500, pid: 500, ptid: 100, cgroups: "cpu=/docker/" + longID}.values()}
	for name, order := range map[string][][]any{"parent first": {parent, child}, "child first": {child, parent}} {
		r := newRun(t, Options{})
		for _, e := range order {
			r.do(int64(e[0].(int)), e[1].(event.Type), e[2].([]any)...)
		}
		if got := r.Thread(500).ContainerID(); got != longID[:12] {
			t.Errorf("%s: container %q", name, got)
		}
	}
}

func TestWhatTheCgroupTellsOfAContainerStays(t *testing.T) {
	r := newRun(t, Options{})
	r.do(500, event.SYSCALL_CLONE3_X, forked{tid: 500, pid: 500, ptid: 100, cgroups: "cpu=/docker/" + longID}.values()...)
	r.do(-1, event.CONTAINER_JSON_2_E, `{"id":"`+longID[:12]+`","name":"web"}`)
	if c := r.Container(longID[:12]); c.Type != Docker || c.FullID != longID || c.Name != "web" {
		t.Errorf("%+v", c)
	}
}

func TestOldContainerEvents(t *testing.T) {
	for name, do := range map[string]func(*run){
		"flat JSON": func(r *run) {
			r.do(-1, event.CONTAINER_JSON_2_E, `{"id":"abc","type":1,"name":"web","image":"reg:5000/a/b@sha256:1"}`)
		},
		"with an outer key": func(r *run) {
			r.do(-1, event.CONTAINER_JSON_E, `{"container":{"id":"abc","type":1,"name":"web","image":"reg:5000/a/b@sha256:1","Mounts":null}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, Options{})
			do(r)
			c := r.Container("abc")
			if c == nil || c.Type != LXC || c.Name != "web" || c.ImageRepo != "reg:5000/a/b" || c.ImageDigest != "sha256:1" || c.Size != -1 {
				t.Errorf("container %+v", c)
			}
		})
	}
}

func TestContainerJSONReadsWhatItWrote(t *testing.T) {
	want := &Container{
		ID: longID[:12], FullID: longID, Type: Podman, Known: true,
		Name: "web", Image: "nginx:1", ImageID: "sha256:i", ImageRepo: "nginx", ImageTag: "1", ImageDigest: "sha256:d",
		Created: 1700000000, User: "www", IP: "172.17.0.2", CNI: `{"a":1}`, Privileged: true, HostPID: true, HostNetwork: true, HostIPC: true,
		Labels: map[string]string{"com.docker.compose.service": "web", "b": "c"},
		Mounts: []Mount{{Source: "/s", Destination: "/d", Mode: "z", Propagation: "rprivate", RW: true}},
		Env:    []string{"A=b"}, PortMappings: []PortMapping{{HostIP: 2130706433, HostPort: 80, ContainerPort: 8080}},
		Healthcheck: &Probe{Exe: "curl", Args: []string{"-f"}}, Liveness: &Probe{Exe: "a"}, Readiness: &Probe{Exe: "b"}, Health: "unhealthy",
		MemoryLimit: 1 << 40, SwapLimit: 2, CPUShares: 3, CPUQuota: -1, CPUPeriod: 5, CPUSetCount: 6, Size: -1,
		IsPodSandbox: true, PodSandboxID: "p", PodSandboxLabels: map[string]string{"x": "y"},
	}
	data := want.AppendJSON([]byte("before"))
	if string(want.AppendJSON([]byte("before"))) != string(data) {
		t.Error("equal facts give different bytes")
	}
	got, err := ParseContainerJSON(append(data[len("before"):], 0))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestContainerJSONFromOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		json string
		want *Container
	}{
		"types that are not expected": {`{"container":{"id":"abc","name":5,"labels":[1],"Mounts":{"a":1},"size":"x","privileged":true}}`,
			&Container{ID: "abc", Type: Unknown, Known: true, Privileged: true, Size: -1}},
		"a look-up that failed": {`{"container":{"id":"abc","type":7,"lookup_state":2}}`,
			&Container{ID: "abc", Type: Containerd, Size: -1}},
		"a look-up that succeeded": {`{"container":{"id":"abc","type":7,"lookup_state":1}}`,
			&Container{ID: "abc", Type: Containerd, Known: true, Size: -1}},
		"no id":           {`{"container":{"name":"x"}}`, nil},
		"no JSON":         {`{"container`, nil},
		"no object":       {`[1]`, nil},
		"no inner object": {`{"container":7}`, nil},
		"nothing":         {``, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseContainerJSON([]byte(tt.json))
			if (err != nil) != (tt.want == nil) || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestUsersAndGroups(t *testing.T) {
	r := newRun(t, Options{})
	r.do(-1, event.USER_ADDED_E, 33, 44, "other", "/home", "/bin/sh", "abc")
	r.do(-1, event.GROUP_ADDED_E, 33, "others", "abc")
	if u := r.User(33, ""); u == nil || u.Name != "www-data" {
		t.Errorf("host user %+v", u)
	}
	if u := r.User(33, "abc"); u == nil || u.Name != "other" || u.GID != 44 || u.Home != "/home" || u.Shell != "/bin/sh" {
		t.Errorf("container user %+v", u)
	}
	if g, h := r.Group(33, "abc"), r.Group(33, ""); g == nil || h == nil || g.Name != "others" || h.Name != "www-data" {
		t.Errorf("groups %+v %+v", g, h)
	}
	if u := r.User(0, "xyz"); u == nil || u.Name != "root" || r.Group(0, "xyz").Name != "root" || r.User(7, "xyz") != nil {
		t.Error("id 0 is root everywhere, others are not known")
	}
	r.do(-1, event.USER_DELETED_E, 33, 44, "other", "/home", "/bin/sh", "abc")
	r.do(-1, event.GROUP_DELETED_E, 33, "others", "abc")
	if r.User(33, "abc") != nil || r.Group(33, "abc") != nil || r.User(33, "") == nil {
		t.Error("deleting")
	}
}
