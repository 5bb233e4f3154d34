package falco

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"rollcage/internal/respond/agent/metrics"
	"rollcage/internal/respond/agent/server"
)

// serving is what tells others how the run is: the web server and the metrics.
type serving struct {
	web  *server.Server // nil if there is none
	done chan struct{}
	once sync.Once
	wg   sync.WaitGroup
}

// groupKeys are the keys of the configuration for groups of metrics.
var groupKeys = map[string]metrics.Group{
	"rules_counters_enabled": metrics.Rules, "resource_utilization_enabled": metrics.Resources,
	"state_counters_enabled": metrics.State, "kernel_event_counters_enabled": metrics.Kernel,
	"kernel_event_counters_per_cpu_enabled": metrics.CPUs, "libbpf_stats_enabled": metrics.Programs,
}

// serve starts what a configuration wants. A capture is not served.
func (r *run) serve(c *command, d *delivery) (*serving, error) {
	s := &serving{done: make(chan struct{})}
	if !r.live() {
		return s, nil
	}
	groups := metrics.Base
	for key, g := range groupKeys {
		if c.metrics.groups[key] {
			groups |= g
		}
	}
	reader := &metrics.Reader{Agent: r.agent, Delivery: d.Delivery, Version: falcoVersion}
	if c.web.enabled {
		o := server.Options{
			Address: net.JoinHostPort(c.web.address, strconv.Itoa(c.web.port)), HealthPath: c.web.healthz,
			Health: r.agent.Health, Versions: currentVersions(c.own),
		}
		if c.web.tls {
			o.Certificate = c.web.cert
		}
		if c.metrics.enabled && c.web.prometheus {
			o.Metrics = reader.Handler(metrics.Falco, groups)
		}
		var err error
		if s.web, err = server.Start(o); err != nil {
			return s, fmt.Errorf("the web server can not be started: %w", err)
		}
		c.log.logf(logInfo, "Starting health webserver with threadiness %d, listening on %s", runtime.GOMAXPROCS(0), s.web.Addr())
	}
	if c.metrics.enabled && (c.metrics.outputRule || c.metrics.outputFile != "") {
		s.wg.Go(func() { r.tellMetrics(c, reader, groups, s.done) })
	}
	return s, nil
}

// tellMetrics takes a sample every interval and writes it where the configuration says.
func (r *run) tellMetrics(c *command, reader *metrics.Reader, groups metrics.Group, done <-chan struct{}) {
	opts := metrics.FieldOptions{Groups: groups, Megabytes: c.metrics.inMegabytes, Empty: c.metrics.emptyValues}
	tick := time.NewTicker(c.metrics.interval)
	defer tick.Stop()
	var before *metrics.Sample
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		sample := reader.Read(before)
		before = sample
		if c.metrics.outputRule {
			r.send(sample.Alert(opts))
		}
		if c.metrics.outputFile == "" {
			continue
		}
		if err := appendTo(c.metrics.outputFile, sample.AppendLine(nil, opts)); err != nil {
			c.log.logf(logError, "metrics.output_file: %v", err)
		}
	}
}

func appendTo(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// stop ends what was started.
func (s *serving) stop() {
	if s == nil {
		return
	}
	s.once.Do(func() {
		close(s.done)
		if s.web != nil {
			_ = s.web.Close()
		}
		s.wg.Wait()
	})
}
