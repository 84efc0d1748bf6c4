package operate_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }
