package shopfile

import "fmt"

// members gathers the members of one JSON object.
type members struct {
	cells cells
	seen  [columnCount]bool
	count int
	// unknown names are judged when all are there: whether one may be shown
	// depends on its neighbours.
	unknown []unknownMember
	faults  []Problem
}

type unknownMember struct {
	name     string
	position int
}

func (m *members) visit(name string, kind valueKind, text string) {
	m.count++
	c, ok := columnNamed(name)
	if !ok {
		m.unknown = append(m.unknown, unknownMember{name, m.count})
		return
	}
	if m.seen[c] {
		m.fault(c, "is given twice in one object")
		return
	}
	m.seen[c] = true
	switch {
	case kind == kindNull:
	case kind == kindString, kind == kindNumber && c.isNumber():
		m.cells.text[c] = text
	case c.isNumber():
		m.fault(c, "must be a number, or a number in a string")
	default:
		m.fault(c, "must be a string")
	}
}

func (m *members) fault(c column, message string) {
	m.faults = append(m.faults, Problem{Column: c.String(), Message: message})
	m.cells.invalid[c] = true
}

// problems returns what was found about names and kinds.
func (m *members) problems(line int) []Problem {
	found := m.faults
	for _, u := range m.unknown {
		found = append(found, Problem{Message: unknownName("field", u.name, u.position, m.count > len(m.unknown))})
	}
	if len(m.unknown) > 0 && !m.seen[colDomain] {
		// The field with the hint is the domain: "is empty" would only confuse.
		m.cells.invalid[colDomain] = true
		found = append(found, Problem{Message: fmt.Sprintf("there is no field %s", colDomain)})
	}
	for i := range found {
		found[i].Line = line
	}
	return found
}
