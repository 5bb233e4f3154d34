package action

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Docker acts on the containers of a Docker Engine. To pause what is paused or
// unpause what is not is no error.
type Docker interface {
	Pause(ctx context.Context, id string) error
	Unpause(ctx context.Context, id string) error
	Stop(ctx context.Context, id string, timeout time.Duration) error
	Kill(ctx context.Context, id string) error
}

// engine is a Docker Engine that is asked over its API.
type engine struct{ client *client.Client }

// NewDocker returns the engine at addr, "" for what DOCKER_HOST says or the
// usual socket. It does not connect yet.
func NewDocker(addr string) (Docker, error) {
	opts := []client.Opt{client.FromEnv, client.WithUserAgent("rollcage")}
	if addr != "" {
		opts = append(opts, client.WithHost(addr))
	}
	c, err := client.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker engine %s: %w", addr, err)
	}
	return &engine{c}, nil
}

// wrap makes a container that is not there ErrGone.
func wrap(err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

// is reports whether a container is in a state already, after an error of changing it.
func (e *engine) is(ctx context.Context, id string, state func(running, paused bool) bool) bool {
	res, err := e.client.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	return err == nil && res.Container.State != nil && state(res.Container.State.Running, res.Container.State.Paused)
}

func (e *engine) Pause(ctx context.Context, id string) error {
	_, err := e.client.ContainerPause(ctx, id, client.ContainerPauseOptions{})
	if err != nil && e.is(ctx, id, func(_, paused bool) bool { return paused }) {
		return nil
	}
	return wrap(err)
}

func (e *engine) Unpause(ctx context.Context, id string) error {
	_, err := e.client.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{})
	switch {
	case err != nil && e.is(ctx, id, func(running, paused bool) bool { return running && !paused }):
		return nil
	case err != nil && e.is(ctx, id, func(running, _ bool) bool { return !running }):
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return wrap(err)
}

func (e *engine) Stop(ctx context.Context, id string, timeout time.Duration) error {
	seconds := int(timeout.Round(time.Second) / time.Second)
	_, err := e.client.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds})
	return wrap(err)
}

func (e *engine) Kill(ctx context.Context, id string) error {
	_, err := e.client.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"})
	if err != nil && e.is(ctx, id, func(running, _ bool) bool { return !running }) {
		return nil
	}
	return wrap(err)
}
