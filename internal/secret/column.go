package secret

import "encoding/binary"

// Column names the place where a sealed value lives. It is authenticated with
// the value (as associated data) and not stored: who opens must know where the
// bytes were read. Renaming a table or a column, or renumbering its rows,
// therefore needs a reseal.
type Column struct {
	Table string // table name without schema
	Row   string // primary key as text
	Name  string // column name
}

// associatedData encodes c unambiguously: every part is preceded by its length,
// so {"a", "bc"} and {"ab", "c"} differ.
func (c Column) associatedData() []byte {
	b := make([]byte, 0, 3*binary.MaxVarintLen32+len(c.Table)+len(c.Row)+len(c.Name))
	for _, part := range [...]string{c.Table, c.Row, c.Name} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// String returns c as table.column[row], for errors.
func (c Column) String() string { return c.Table + "." + c.Name + "[" + c.Row + "]" }
