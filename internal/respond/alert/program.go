package alert

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Program gives alerts to a shell command on its standard input.
type Program struct {
	command string
	keep    bool
	shape   Shape
	buf     []byte
	running *process
	closed  bool
}

// NewProgram returns an output that runs the command with sh -c: for each alert, or
// with keep once, and again when it has ended or on Reopen. What the command
// prints goes to our standard output and error.
func NewProgram(command string, keep bool, shape Shape) *Program {
	return &Program{command: command, keep: keep, shape: shape}
}

// Name returns "program" and the command.
func (o *Program) Name() string { return "program " + o.command }

// Send writes the alert as a line to the command. A command that is started
// for each alert must end, with success; when ctx ends before it, it is killed.
func (o *Program) Send(ctx context.Context, a *Alert) error {
	if o.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.buf = append(o.shape.Append(o.buf[:0], a), '\n')
	if o.running != nil && o.running.ended() {
		o.running.stop()
		o.running = nil
	}
	if o.running == nil {
		p, err := startProcess(o.command)
		if err != nil {
			return err
		}
		o.running = p
	}
	err := writeBefore(ctx, o.running.stdin, o.buf)
	if o.keep && err == nil {
		return nil
	}
	p := o.running
	o.running = nil
	if errors.Is(err, syscall.EPIPE) {
		err = nil // it need not read everything; how it ends tells
	}
	return errors.Join(err, p.end(ctx, err != nil))
}

// grace is how long a command may take to end once its input has.
const grace = 5 * time.Second

// Reopen ends a command that is kept; the next alert starts it again.
func (o *Program) Reopen() error {
	if o.running == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	p := o.running
	o.running = nil
	return p.end(ctx, false)
}

// Close ends a command that is kept.
func (o *Program) Close() error {
	o.closed = true
	return o.Reopen()
}

// process is a running command.
type process struct {
	cmd   *exec.Cmd
	stdin *os.File
	done  chan struct{}
	err   error // how it ended, once done is closed
}

// startProcess starts a command in a process group of its own, so that it can
// be killed with all it started.
func startProcess(command string) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p := &process{cmd: exec.Command("/bin/sh", "-c", command), stdin: w, done: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = r, os.Stdout, os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		w.Close()
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// end closes the command's input and waits for it, until ctx ends or, with
// kill, not at all.
func (p *process) end(ctx context.Context, kill bool) error {
	p.stdin.Close()
	if !kill {
		select {
		case <-p.done:
			if p.err != nil {
				return fmt.Errorf("the program failed: %w", p.err)
			}
			return nil
		case <-ctx.Done():
		}
	}
	p.stop()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("the program was killed: %w", err)
	}
	return nil
}

// stop kills the command and what it started, if that still runs.
func (p *process) stop() {
	p.stdin.Close()
	if !p.ended() {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}
