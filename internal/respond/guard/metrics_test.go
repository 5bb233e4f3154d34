package guard

import (
	"bytes"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"rollcage/internal/respond/agent/metrics"
	"rollcage/internal/respond/alert"
)

// TestTheMetricsThatAScrapeGetsAreRightAndDocumented reads them with Prometheus's own parser.
func TestTheMetricsThatAScrapeGetsAreRightAndDocumented(t *testing.T) {
	h, all := newFakeHost(), newCollected("all")
	g := newTestGuard(t, h, Options{Outputs: Outputs{All: []alert.Output{all}, Names: []string{"all"}}})
	defer run(t, g)()
	h.open <- struct{}{}
	all.next(t)
	handler := (&metrics.Reader{Agent: g.Agent(), Delivery: g.Outputs(), Version: "1", Others: g.Collectors()}).Handler(metrics.Native, metrics.AllGroups)
	res := httptest.NewRecorder()
	handler.ServeHTTP(res, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(res.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../../docs/guard.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for name, f := range families {
		if !strings.HasPrefix(name, "rollcage_") || f.GetHelp() == "" {
			t.Errorf("%s has no prefix or no help", name)
		}
		if counter := f.GetType() == dto.MetricType_COUNTER; counter != strings.HasSuffix(name, "_total") && name != "rollcage_uptime_seconds" {
			t.Errorf("%s is a %v", name, f.GetType())
		}
		if strings.HasPrefix(name, "rollcage_guard_") {
			found++
			if !strings.Contains(string(doc), "`"+name+"`") {
				t.Errorf("docs/guard.md does not tell of %s", name)
			}
		}
	}
	if found != len(g.Collectors()) {
		t.Errorf("%d of %d metrics are scraped", found, len(g.Collectors()))
	}
	if f := families["rollcage_guard_alerts_kept_total"]; f == nil || f.Metric[0].GetCounter().GetValue() != 1 {
		t.Errorf("alerts kept: %v", f)
	}
	// What the documentation names is there, also in its alerting rules.
	for _, name := range regexp.MustCompile(`rollcage_[a-z_]+[a-z]`).FindAllString(string(doc), -1) {
		if families[name] == nil && name != "rollcage_events_dropped_total" && name != "rollcage_output_alerts_total" {
			t.Errorf("docs/guard.md names %s, which is no metric", name)
		}
	}
}
