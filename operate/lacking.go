package operate

import (
	"context"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Lacking is what an app that has no run yet must be given before one can do
// anything: each with the command that stores it.
func (o Operator) Lacking(ctx context.Context, app store.App, kind rotation.Kind) ([]string, error) {
	secrets, err := o.Store.Secrets(ctx, app.ID)
	if err != nil {
		return nil, err
	}
	lacking := []string{}
	if kind == rotation.KindTokenMigration {
		_, why := chooseVersion(secrets, 0)
		legacy, err := o.Store.Legacy(ctx, app.ID)
		return append(lacking, why, nothingToDerive(legacy)), err
	}
	_, _, why := choose(app.Name, secrets)
	lacking = append(lacking, why)
	if shops, err := o.Store.Shops(ctx, app.ID, 0, 1); err != nil || len(shops) > 0 {
		return lacking, err
	}
	return append(lacking, "no shop is stored: store the app's shops with their tokens by `rotator shop import FILE`"), nil
}
