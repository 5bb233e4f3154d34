package runtime

import (
	"strings"
	"testing"

	apievents "github.com/containerd/containerd/api/events"
	containers "github.com/containerd/containerd/api/services/containers/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"rollcage/internal/observe/host"
)

// checkFacts fails if facts cannot be told in a container event.
func checkFacts(t *testing.T, c *host.Container) {
	t.Helper()
	if _, err := host.ParseContainerJSON(c.AppendJSON(nil)); err != nil {
		t.Fatalf("%+v cannot be told: %v", c, err)
	}
}

// FuzzContainerdFacts reads what containerd keeps of a container: the OCI
// configuration and the CRI plugin's extensions.
func FuzzContainerdFacts(f *testing.F) {
	f.Add([]byte(`{"process":{"user":{"uid":7},"capabilities":{"bounding":["CAP_SYS_ADMIN"]}},"mounts":[{"type":"bind","source":"/a"}],"linux":{"namespaces":[{"type":"pid","path":"/proc/1/ns/pid"}],"resources":{"cpu":{"cpus":"0-2,7"}}}}`),
		[]byte(`{"Version":"v1","Metadata":{"SandboxID":"s","ImageRef":"sha256:aa","Config":{"metadata":{"name":"web"},"mounts":[{"propagation":2}]}}}`),
		[]byte(`{"Version":"v1","Metadata":{"IP":"10.0.0.1","Config":{"metadata":{"name":"p"},"linux":{"security_context":{"namespace_options":{"pid":2}}}},"CNIResult":{"Interfaces":{}}}}`))
	f.Add([]byte(`{"linux":{}}`), []byte(`{"Version":"v1","Metadata":null}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, spec, container, sandbox []byte) {
		in := &containers.Container{ID: idA, Extensions: map[string]*anypb.Any{criContainerExtension: {Value: container}, criSandboxExtension: {Value: sandbox}}}
		c := newContainer(in.ID, host.Containerd)
		if s := parseSpec(spec); s != nil {
			setSpec(c, s)
		}
		if m := criContainer(in); m != nil {
			m.apply(c)
		}
		if p := sandboxPod(in); p != nil {
			p.apply(c)
		}
		checkFacts(t, c)
	})
}

// FuzzCRIFacts reads the verbose part of a container's status.
func FuzzCRIFacts(f *testing.F) {
	f.Add(`{"sandboxID":"s","privileged":true,"runtimeSpec":{"annotations":{"io.kubernetes.cri-o.ImageName":"a:1"}}}`, "sha256:aa", "repo@sha256:bb")
	f.Add(`{"sandboxID":"s","config":{"linux":{"security_context":{"privileged":true}}}}`, "nginx:1", "sha256:cc")
	d := &CRI{client: noRuntime{}, socket: &grpcSocket{path: "/none"}}
	f.Fuzz(func(t *testing.T, info, image, ref string) {
		c, err := d.container(t.Context(), host.CRI, &cri.ContainerStatusResponse{
			Status: &cri.ContainerStatus{Id: idA, Image: &cri.ImageSpec{Image: image}, ImageRef: ref}, Info: map[string]string{"info": info},
		})
		if err != nil {
			t.Fatal(err)
		}
		checkFacts(t, c)
	})
}

// FuzzLastApplied reads the annotation that kubectl leaves.
func FuzzLastApplied(f *testing.F) {
	f.Add("web", `{"spec":{"containers":[{"name":"web","livenessProbe":{"exec":{"command":["a","b"]}}}]}}`)
	f.Add("", `{"spec":{"containers":null}}`)
	f.Fuzz(func(t *testing.T, name, applied string) {
		c := newContainer(idA, host.CRI)
		c.Name = name
		setProbes(c, applied)
		checkFacts(t, c)
	})
}

// FuzzContainerdEvent reads the body of an event.
func FuzzContainerdEvent(f *testing.F) {
	body, err := proto.Marshal(&apievents.ContainerCreate{ID: idA, Image: "nginx"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/containers/create", body)
	f.Add("/tasks/start", []byte{0x0a, 0xff})
	f.Fuzz(func(t *testing.T, topic string, body []byte) {
		if id := eventContainer(topic, &anypb.Any{Value: body}); id != "" && !strings.HasPrefix(topic, "/containers/") && topic != "/tasks/start" {
			t.Errorf("%s is about %q", topic, id)
		}
	})
}
