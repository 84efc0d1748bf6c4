package migrations

// Latest returns the versions that this binary migrates to: that of its own
// schema and that of River's. It needs no database.
func Latest() (schema, river int, err error) {
	if schema, err = latest(); err != nil {
		return 0, 0, err
	}
	m, err := riverMigrator(nil)
	if err != nil {
		return 0, 0, err
	}
	return schema, latestRiver(m), nil
}
