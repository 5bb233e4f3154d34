package rule

import (
	"encoding/json"
	"fmt"
	"strings"
)

// This file writes results as Falco's -V does, for scripts that read them.

// Status returns "Ok", "Ok, with warnings" or "Invalid".
func (r *Result) Status() string {
	switch {
	case !r.OK():
		return "Invalid"
	case len(r.Warnings) > 0:
		return "Ok, with warnings"
	}
	return "Ok"
}

// Summary returns file and status and, if the file is invalid or verbose is
// set, its errors and warnings as Falco prints them.
func (r *Result) Summary(verbose bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", r.File, r.Status())
	if r.OK() && !verbose {
		return b.String()
	}
	if len(r.Schema) > 0 {
		fmt.Fprintf(&b, "\n%d Schema warnings:\n------\n%s\n------", len(r.Schema), strings.Join(r.Schema, "\n------\n"))
	}
	for _, part := range []struct {
		word string
		list []*Problem
	}{{"Errors", r.Errors}, {"Warnings", r.Warnings}} {
		if len(part.list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%d %s:\n", len(part.list), part.word)
		for _, p := range part.list {
			b.WriteString(p.classic())
		}
	}
	return b.String()
}

// summary returns the code's short text, with the field that it is about.
func (p *Problem) summary() string {
	if p.Field != "" {
		return fmt.Sprintf("%s: field '%s'", p.Code.Short(), p.Field)
	}
	return p.Code.Short()
}

// classic returns the problem in the form of Falco.
func (p *Problem) classic() string {
	return fmt.Sprintf("%s------\n%s------\n%s (%s): %s\n", p.where, p.where.snippet(), p.Code, p.summary(), p.Message)
}

type jsonResult struct {
	Name           string        `json:"name"`
	Successful     bool          `json:"successful"`
	SchemaValid    bool          `json:"schema_valid"`
	SchemaWarnings []string      `json:"schema_warnings"`
	Errors         []jsonProblem `json:"errors"`
	Warnings       []jsonProblem `json:"warnings"`
	Advice         []jsonProblem `json:"advice,omitempty"` // not Falco's
}

type jsonProblem struct {
	Code     string      `json:"code"`
	CodeDesc string      `json:"codedesc"`
	Topic    string      `json:"topic,omitempty"` // of advice
	Message  string      `json:"message"`
	Hint     string      `json:"hint,omitempty"` // of advice
	Context  jsonContext `json:"context"`
}

type jsonContext struct {
	Locations []Location `json:"locations"`
	Snippet   string     `json:"snippet"`
}

// MarshalJSON returns the result as an element of falco_load_results.
func (r *Result) MarshalJSON() ([]byte, error) {
	return json.Marshal(jsonResult{
		Name: r.File, Successful: r.OK(), SchemaValid: len(r.Schema) == 0, SchemaWarnings: notNil(r.Schema),
		Errors: jsonProblems(r.Errors), Warnings: jsonProblems(r.Warnings), Advice: jsonProblems(r.Advice),
	})
}

func jsonProblems(list []*Problem) []jsonProblem {
	out := make([]jsonProblem, len(list))
	for i, p := range list {
		out[i] = jsonProblem{
			Code: p.Code.String(), CodeDesc: p.Code.Long(), Message: p.Message,
			Context: jsonContext{p.where.locations(), p.where.snippet()},
		}
		if p.Code == Advice {
			out[i].Topic, out[i].Hint = p.Topic, p.Suggestion
		}
	}
	return out
}
