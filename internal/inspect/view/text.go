package view

import (
	"math"
	"strconv"
	"unicode/utf8"

	"rollcage/internal/detect/field"
	"rollcage/internal/observe/event"
)

// appendValue appends a value as the field prints it.
func appendValue(b []byte, f *field.Field, c *Cell) []byte {
	return field.AppendText(b, f, &field.Value{Str: c.Text, Num: c.Num, Float: c.Float, Addr: c.Addr})
}

// AppendCell appends the text of a cell: numbers and times in the unit that
// fits, averages divided.
func (r *Result) AppendCell(b []byte, column int, c *Cell) []byte {
	col := &r.Columns[column]
	typ := col.Type.Type
	switch {
	case col.class == classFloat:
		return strconv.AppendFloat(b, r.average(col, c, c.Float), 'f', 2, 64)
	case col.Field == latencySteps:
		return field.AppendDuration(b, StepStart(c.Num))
	case typ == event.TypeRelTime:
		return field.AppendDuration(b, uint64(r.average(col, c, float64(c.Num))))
	case !plainNumber(col.Type):
		return appendValue(b, col.Type, c)
	}
	n := float64(c.Num)
	if col.class == classSigned {
		n = float64(int64(c.Num))
	}
	if divided(col.Agg) {
		return appendScaled(b, r.average(col, c, n), 2)
	}
	if n > -1024 && n <= 1024 {
		return appendValue(b, col.Type, c)
	}
	return appendScaled(b, n, 0)
}

func divided(agg Aggregation) bool { return agg == Average || agg == TimeAverage }

// average divides a sum as the column wants it.
func (r *Result) average(col *ResultColumn, c *Cell, sum float64) float64 {
	switch col.Agg {
	case Average:
		if c.Count > 1 {
			return sum / float64(c.Count)
		}
	case TimeAverage:
		if r.Seconds > 0 {
			return sum / r.Seconds
		}
	}
	return sum
}

// Numeric reports whether a column holds numbers that are set flush right.
func (r *Result) Numeric(column int) bool {
	c := &r.Columns[column]
	return c.class == classFloat || c.Type.Type == event.TypeRelTime || plainNumber(c.Type) || c.Type.Format == event.FormatID && isInteger(c.Type.Type)
}

// plainNumber reports whether a value counts something. Ids, ports and the
// like do not.
func plainNumber(f *field.Field) bool { return isInteger(f.Type) && f.Format != event.FormatID }

func isInteger(t event.ParamType) bool {
	switch t {
	case event.TypeInt8, event.TypeInt16, event.TypeInt32, event.TypeInt64,
		event.TypeUint8, event.TypeUint16, event.TypeUint32, event.TypeUint64:
		return true
	}
	return false
}

// appendScaled appends n in the largest power of 1024 that it is more than one of.
func appendScaled(b []byte, n float64, decimals int) []byte {
	for i, size := range [...]float64{1 << 50, 1 << 40, 1 << 30, 1 << 20, 1 << 10} {
		if n > size || n < -size {
			return append(strconv.AppendFloat(b, n/size, 'f', decimals, 64), "PTGMK"[i])
		}
	}
	return strconv.AppendFloat(b, n, 'f', decimals, 64)
}

// Names returns the headings of the columns.
func (r *Result) Names() []string {
	names := make([]string, len(r.Columns))
	for i := range r.Columns {
		names[i] = r.Columns[i].Name
	}
	return names
}

// Texts returns the text of all cells, row by row, and how many characters the
// widest of each column has, headings included.
func (r *Result) Texts() (rows [][]string, widths []int) {
	for i := range r.Columns {
		widths = append(widths, utf8.RuneCountInString(r.Columns[i].Name))
	}
	var buf []byte
	for i := range r.Rows {
		cells := make([]string, len(r.Columns))
		for j := range cells {
			buf = r.AppendCell(buf[:0], j, &r.Rows[i].Cells[j])
			cells[j] = string(buf)
			widths[j] = max(widths[j], utf8.RuneCount(buf))
		}
		rows = append(rows, cells)
	}
	return rows, widths
}

// latencySteps is the field that spectrograms are about.
const latencySteps = "evt.latency.quantized"

// StepStart returns the least latency in ns of a step of a spectrogram.
func StepStart(step uint64) uint64 {
	if step < 2 {
		return step
	}
	return uint64(math.Ceil(math.Pow(10, float64(step-1)/field.StepsPerDecade)))
}
