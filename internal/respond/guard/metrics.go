package guard

import (
	"github.com/prometheus/client_golang/prometheus"

	"rollcage/internal/respond/alert"
)

// Outputs tells how the outputs are, for metrics.
func (g *Guard) Outputs() interface{ Stats() []alert.OutputStats } { return g.mail }

// Collectors returns the metrics of guard beyond those of its agent.
func (g *Guard) Collectors() []prometheus.Collector {
	var list []prometheus.Collector
	counter := func(name, help string, v func() float64) {
		list = append(list, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "rollcage_guard_" + name, Help: help}, v))
	}
	gauge := func(name, help string, v func() float64) {
		list = append(list, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcage_guard_" + name, Help: help}, v))
	}
	counter("alerts_kept_total", "Alerts that are acknowledged: on disk for the outputs.", func() float64 { return float64(g.intake.kept.Load()) })
	counter("alerts_lost_total", "Alerts for which there was no room in a queue, on disk or in memory.", func() float64 { return float64(g.intake.lost.Load()) })
	counter("alerts_in_no_incident_total", "Alerts that are in no incident as the disk took none.", func() float64 { return float64(g.intake.unkept.Load()) })
	gauge("alerts_waiting", "Alerts that wait to be kept.", func() float64 { return float64(len(g.intake.queue)) })
	counter("decisions_lost_total", "Decisions of policies for which there was no room.", func() float64 { return float64(g.lanes.dropped.Load()) })
	gauge("decisions_waiting", "Decisions of policies that wait to be done.", func() float64 { return float64(g.lanes.depth()) })
	gauge("actions_in_force", "Actions that can be taken back.", func() float64 { return float64(len(g.runner.InForce())) })
	counter("captures_total", "Captures that were put into incidents.", func() float64 { return float64(g.captures.taken.Load()) })
	counter("captures_failed_total", "Captures that could not be taken.", func() float64 { return float64(g.captures.failed.Load()) })
	gauge("shed_level", "What is not looked at under pressure: 0 nothing, 1 most data in the black box, 2 reads and writes are not judged, 3 all data in the black box, 4 the black box.", func() float64 { return float64(g.pressure.level.Load()) })
	gauge("black_box_bytes", "Size of the black box.", func() float64 { return float64(g.box.now().Size) })
	gauge("black_box_cgroups", "Cgroups of containers that the black box records, where its scope needs to know them.", func() float64 { return float64(g.box.now().Cgroups) })
	gauge("outbox_bytes", "Size of the outbox.", func() float64 { return float64(g.mail.box.Stats().Bytes) })
	gauge("memory_bytes", "Memory of Rollcage's own.", func() float64 { return float64(g.pressure.usage.Load().Memory) })
	return list
}
