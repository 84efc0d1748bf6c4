package store

import (
	"testing"
)

// The tests that need a database are in package store_test, where storetest can
// be imported; this file lets them see what is registered.

// Statements is every statement of the package.
func Statements(testing.TB) []string { return statements }

// CountHeld and ReadByState are two of them.
func CountHeld(testing.TB) string   { return countHeld }
func ReadByState(testing.TB) string { return readByState }
