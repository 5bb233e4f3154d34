package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// maxAnswer is the most that is read of an answer, in bytes. Docker's stream
// of events is one too: after so much of it, it is asked for again.
const maxAnswer = 64 << 20

var errAnswerSize = errors.New("the answer is too large")

// limitedDial returns what connects to a Unix socket so that no answer over
// HTTP is longer than maxAnswer. With an empty path it connects to what it is told.
func limitedDial(path string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if path != "" {
			network, addr = "unix", path
		}
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &limitedConn{Conn: c}, nil
	}
}

// limitedConn ends a connection with an answer that is too large: requests and
// answers take turns on it.
type limitedConn struct {
	net.Conn
	answer atomic.Int64 // bytes since the last request
}

func (c *limitedConn) Write(b []byte) (int, error) {
	c.answer.Store(0)
	return c.Conn.Write(b)
}

func (c *limitedConn) Read(b []byte) (int, error) {
	if c.answer.Load() > maxAnswer {
		return 0, errAnswerSize
	}
	n, err := c.Conn.Read(b)
	c.answer.Add(int64(n))
	return n, err
}

// grpcSocket is a runtime's Unix socket that speaks gRPC.
type grpcSocket struct {
	*grpc.ClientConn
	path string
}

// dialSocket returns the socket at an absolute path. It connects when it is
// used, and again after the connection was lost.
func dialSocket(path string) (*grpcSocket, error) {
	conn, err := grpc.NewClient("unix://"+path,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the socket's owner and mode protect it
		grpc.WithUserAgent("rollcage"),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, MaxDelay: time.Second},
			MinConnectTimeout: lookupWait,
		}))
	if err != nil {
		return nil, fmt.Errorf("runtime socket %s: %w", path, err)
	}
	return &grpcSocket{conn, path}, nil
}

// err returns an answer's error as the ones that Engine promises.
func (s *grpcSocket) err(err error) error {
	if err == nil {
		return nil
	}
	err = errgrpc.ToNative(err)
	switch {
	case errdefs.IsNotFound(err):
		return ErrNotFound
	case errdefs.IsUnavailable(err):
		if _, statErr := os.Stat(s.path); errors.Is(statErr, fs.ErrNotExist) {
			return statErr
		}
	}
	return err
}
