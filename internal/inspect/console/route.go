package console

import "rollcage/internal/inspect/access"

// route is something that can be asked for.
type route struct {
	method, path string
	role         access.Role // at least
	id           string      // of the operation
	summary      string
	query        []param
	body         any    // a value of the type of the body, nil for none
	answer       any    // a value of the type of the answer, nil if it is no JSON
	media        string // of the answer, application/json if empty
	handle       func(*call) error
}

// param is a parameter of a query.
type param struct{ name, kind, doc string }

var (
	revealParam = param{"reveal", "boolean", "show secrets too: for responders, and noted in the audit log"}
	listParams  = []param{
		{"since", "string", "those with an alert after that time: RFC 3339, or a duration before now as 24h"},
		{"until", "string", "those that began before that time"},
		{"container", "string", "those of the container with that name or id"},
		{"image", "string", "those of images with that text in their name"},
		{"rule", "string", "those with an alert of that rule"},
		{"priority", "string", "those with an alert at least as severe"},
		{"open", "boolean", "only those that go on"},
		{"limit", "integer", "at most so many, 200 if it is not given, 1000 at most"},
		revealParam,
	}
)

// routes is everything that can be asked for, and who may. What is not in it is not served.
var routes []route

func init() {
	const (
		one     = "/api/v1/incidents/{incident}"
		capture = "/api/captures/{capture}"
	)
	routes = []route{
		{method: "GET", path: "/api/openapi.json", role: access.Nobody, id: "openapi", summary: "This document.", handle: openAPI},
		{method: "GET", path: "/api/v1/session", role: access.Nobody, id: "session", summary: "Who asks, and their role.", answer: sessionInfo{}, handle: showSession},
		{method: "POST", path: "/api/v1/session", role: access.Nobody, id: "login", summary: "Begin a session in a browser with a token.", body: loginBody{}, answer: sessionInfo{}, handle: login},
		{method: "DELETE", path: "/api/v1/session", role: access.Nobody, id: "logout", summary: "End the session.", answer: done{}, handle: logout},

		{method: "GET", path: "/api/v1/status", role: access.Viewer, id: "status", summary: "How guard is.", handle: status},
		{method: "GET", path: "/api/v1/incidents", role: access.Viewer, id: "listIncidents", summary: "Incidents, the newest first.", query: listParams, answer: incidentList{}, handle: listIncidents},
		{method: "GET", path: one, role: access.Viewer, id: "showIncident", summary: "An incident in short.", query: []param{revealParam}, answer: incidentSummary, handle: showIncident},
		{method: "GET", path: one + "/records", role: access.Viewer, id: "incidentRecords", summary: "All records of an incident: alerts, processes, captures, actions and their outcome, notes.",
			query: []param{{"after", "integer", "those after the record with that number"}, revealParam}, answer: recordList{}, handle: records},
		{method: "GET", path: one + "/report", role: access.Viewer, id: "incidentReport", summary: "A report as one HTML file that prints well.", query: []param{revealParam}, media: "text/html", handle: showReport},
		{method: "POST", path: one + "/notes", role: access.Responder, id: "addNote", summary: "Write a note.", body: noteBody{}, answer: done{}, handle: addNote},
		{method: "POST", path: one + "/close", role: access.Responder, id: "closeIncident", summary: "Close an incident; what comes later begins another one.", body: closeBody{}, answer: done{}, handle: closeIncident},
		{method: "POST", path: one + "/actions", role: access.Responder, id: "act", summary: "Say what an action would do, and with the confirmation from that answer do it.", body: actBody{}, answer: actDone{}, handle: act},
		{method: "POST", path: one + "/captures/{name}/open", role: access.Responder, id: "openCapture", summary: "Open a capture for the pages; noted in the audit log.", answer: openedCapture{}, handle: openCapture},
		{method: "GET", path: one + "/captures/{name}", role: access.Responder, id: "downloadCapture", summary: "A capture as it is; noted in the audit log.", media: "application/octet-stream", handle: downloadCapture},
		{method: "GET", path: one + "/export", role: access.Admin, id: "exportIncident", summary: "An incident with its captures and the audit log as a gzipped tar archive, unmasked.", media: "application/gzip", handle: export},

		{method: "GET", path: "/api/v1/alerts/stream", role: access.Viewer, id: "streamAlerts", summary: "What is added to incidents, as it is, as server-sent events: alert, action, outcome, capture, note, closed, and missed when the reader was too slow.",
			query: []param{{"priority", "string", "only alerts at least as severe"}, revealParam}, media: "text/event-stream", handle: streamAlerts},
		{method: "GET", path: "/api/v1/actions", role: access.Viewer, id: "actionsInForce", summary: "Actions that can be undone.", handle: inForce},
		{method: "POST", path: "/api/v1/actions/{action}/undo", role: access.Responder, id: "undo", summary: "Take an action back.", answer: undone{}, handle: undo},

		{method: "GET", path: "/api/v1/policies", role: access.Viewer, id: "listPolicies", summary: "The policies and their modes.", answer: []policyInfo{}, handle: listPolicies},
		{method: "PUT", path: "/api/v1/policies/{policy}/mode", role: access.Admin, id: "setMode", summary: "Switch a policy between monitor and enforce.", body: modeBody{}, answer: done{}, handle: setMode},

		{method: "GET", path: "/api/v1/tokens", role: access.Admin, id: "listTokens", summary: "The tokens, without their secrets.", answer: []tokenInfo{}, handle: listTokens},
		{method: "POST", path: "/api/v1/tokens", role: access.Admin, id: "createToken", summary: "Make a token; its secret is in this answer and nowhere else.", body: tokenBody{}, answer: madeToken{}, handle: createToken},
		{method: "DELETE", path: "/api/v1/tokens/{token}", role: access.Admin, id: "revokeToken", summary: "Revoke a token and end its sessions.", answer: done{}, handle: revokeToken},

		{method: "GET", path: "/api/v1/host", role: access.Viewer, id: "host", summary: "The containers and processes that run now.", query: []param{revealParam}, answer: hostNow{}, handle: showHost},

		{method: "GET", path: "/api/captures", role: access.Responder, id: "listCaptures", summary: "The captures that are open.", handle: explore},
		{method: "GET", path: capture, role: access.Responder, id: "exploreCapture", summary: "An open capture, as the pages explore it.", handle: exploreOne},
		{method: "GET", path: capture + "/{rest...}", role: access.Responder, id: "explore", summary: "What the pages ask of an open capture: overview, views, events, processes, alerts, conversation, terminals, latency, compare, export.", handle: exploreOne},
		{method: "GET", path: "/api/fields", role: access.Viewer, id: "fields", summary: "The fields that conditions can use.", handle: explore},
		{method: "GET", path: "/api/views", role: access.Viewer, id: "views", summary: "The views of captures.", handle: explore},
		{method: "GET", path: "/api/check", role: access.Viewer, id: "check", summary: "Whether a condition is one.", query: []param{{"filter", "string", "the condition"}}, handle: explore},
	}
}
