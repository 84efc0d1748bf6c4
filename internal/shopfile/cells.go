package shopfile

// Cells are the values of a row that was read from a table instead of a list;
// "" where the table has none.
type Cells struct {
	// Key names the row in problems.
	Key, Domain, AccessToken, LegacyToken string
}

// Row checks the cells by the rules of a list. Its error is a *BadRow whose
// problems name the row by its key.
func (c Cells) Row() (Row, error) {
	var in cells
	in.text[colDomain], in.text[colAccessToken], in.text[colLegacyToken] = c.Domain, c.AccessToken, c.LegacyToken
	row, err := in.check(0, nil)
	row.Key = c.Key
	if bad, ok := err.(*BadRow); ok {
		for i := range bad.Problems {
			bad.Problems[i].Key = c.Key
		}
	}
	return row, err
}
