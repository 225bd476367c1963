package audit

import (
	"strconv"
	"time"
)

// OTLP returns a record as one request of OpenTelemetry's log protocol, to be
// written as a line of JSON: what a collector's otlpjsonfile receiver reads.
func OTLP(r *Record) map[string]any {
	at, _ := time.Parse(time.RFC3339Nano, r.Time) // a time that is none is the year 1
	nanos := strconv.FormatInt(at.UnixNano(), 10)
	severity, text := 9, "INFO"
	if r.Verdict == "deny" || r.Verdict == "would-deny" {
		severity, text = 13, "WARN"
	}
	attributes := []any{attribute("event.name", "megabinary."+r.Event)}
	add := func(key string, v any, there bool) {
		if there {
			attributes = append(attributes, attribute(key, v))
		}
	}
	add("process.pid", r.PID, r.PID != 0)
	add("process.parent_pid", r.PPID, r.PPID != 0)
	add("thread.id", r.TID, r.TID != 0)
	add("process.user.id", r.UID, r.PID != 0)
	add("process.executable.sha256", r.Subject, r.Subject != "")
	add("megabinary.object.sha256", r.Object, r.Object != "")
	add("megabinary.path", r.Path, r.Path != "")
	add("megabinary.args", r.Args, len(r.Args) > 0)
	add("megabinary.verdict", r.Verdict, r.Verdict != "")
	add("megabinary.rule", r.Rule, r.Rule != "")
	add("megabinary.duration_ns", int(r.DurationNs), r.DurationNs != 0)
	add("megabinary.suppressed", int(r.Suppressed), r.Suppressed != 0)
	if r.Status != nil {
		add("megabinary.wait_status", *r.Status, true)
	}
	add("log.record.uid", r.Hash, true)
	add("megabinary.seq", int(r.Seq), true)
	add("megabinary.prev", r.Prev, true)
	resource := []any{attribute("service.name", "megabinary"), attribute("container.id", r.Container)}
	if r.MapRoot != "" {
		resource = append(resource, attribute("megabinary.exec_map.root", r.MapRoot))
	}
	if r.Policy != "" {
		resource = append(resource, attribute("megabinary.policy.digest", r.Policy))
	}
	return map[string]any{"resourceLogs": []any{map[string]any{
		"resource": map[string]any{"attributes": resource},
		"scopeLogs": []any{map[string]any{
			"scope": map[string]any{"name": "megabinary.dev/vkernel/audit"},
			"logRecords": []any{map[string]any{
				"timeUnixNano": nanos, "observedTimeUnixNano": nanos, "severityNumber": severity, "severityText": text,
				"body": map[string]any{"stringValue": Text(r)}, "attributes": attributes,
			}},
		}},
	}}}
}

// attribute is a KeyValue of OTLP; its integers are strings.
func attribute(key string, v any) map[string]any {
	value := map[string]any{}
	switch v := v.(type) {
	case int:
		value["intValue"] = strconv.Itoa(v)
	case string:
		value["stringValue"] = v
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = map[string]any{"stringValue": s}
		}
		value["arrayValue"] = map[string]any{"values": list}
	}
	return map[string]any{"key": key, "value": value}
}
