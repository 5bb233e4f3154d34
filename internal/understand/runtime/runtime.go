// Package runtime learns from container runtimes what they know of their
// containers: name, image, labels, mounts and so on.
//
// The facts enter the stream of events as container events, in the form that
// capture files hold, right before the first event of their container
// ([Source]). So live and recorded streams say the same, and whoever reads
// them needs no runtime. A runtime that is slow, restarts or is not there
// delays a container's first event by at most a moment, once, and nothing else.
package runtime

import (
	"context"
	"errors"

	"rollcage/internal/observe/host"
)

// ErrNotFound is returned by Lookup when the runtime has no such container.
var ErrNotFound = errors.New("no such container")

// Engine is a container runtime. Its methods may be called from several goroutines.
type Engine interface {
	// Name names the runtime for people, for instance "docker at /run/docker.sock".
	Name() string
	// Owns reports whether containers of that type, as their cgroup tells it, may be the runtime's.
	Owns(t host.ContainerType) bool
	// Lookup returns the facts of a container. It must answer even while the
	// container is being started, if need be with the facts that are
	// known by then. The result is the caller's. Errors: ErrNotFound, ctx's, the connection's.
	Lookup(ctx context.Context, id string) (*host.Container, error)
	// List returns the containers that run or are about to.
	List(ctx context.Context) ([]*host.Container, error)
	// Watch calls changed whenever the facts of a container become known or
	// change, and when it is removed. It calls ready once it would miss nothing,
	// and returns when ctx ends or the connection is lost.
	Watch(ctx context.Context, ready func(), changed func(Change)) error
	// Close frees what the engine holds.
	Close() error
}

// Change is news about a container.
type Change struct {
	Container *host.Container
	Removed   bool // Container has its id only
}
