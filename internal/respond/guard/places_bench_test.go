package guard

import (
	"testing"

	"rollcage/internal/observe/host"
	"rollcage/internal/observe/probe"
	"rollcage/internal/respond/scene"
)

// BenchmarkPlaces measures what an exec costs in a container whose cgroup is known.
func BenchmarkPlaces(b *testing.B) {
	const path = "/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	finder, err := probe.NewCgroupFinder()
	if err != nil {
		b.Skip(err)
	}
	c := &host.Container{ID: "0123456789ab"}
	p := &places{finder: finder, kick: make(chan struct{}, 1), byPath: map[string]*place{path: {id: 1, container: scene.ContainerOf(c)}}}
	th := &host.Thread{Container: c}
	th.Cgroups = []string{"cpuset=" + path, "cpu=" + path, "memory=" + path, "unified=" + path}
	b.ReportAllocs()
	for b.Loop() {
		p.place(th)
	}
}
