package haravansim

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// maxSpan keeps sums of times far from overflow.
const maxSpan = 10 * 365 * 24 * time.Hour

// Validate reports every mistake at once. Zero fields are right.
func (k Knobs) Validate() error {
	k = k.filled()
	var errs []error
	oneOf := func(field, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			errs = append(errs, fmt.Errorf("%s is %q: use %s", field, value, strings.Join(allowed, ", ")))
		}
	}
	oneOf("refresh_token_uses", k.RefreshTokenUses, "multi", "once_per_shop", "once")
	oneOf("secret_parameter", k.SecretParameter, "client_secret", "shared_secret", "either")
	oneOf("token_path", k.TokenPath, "either", "plain", "json")
	oneOf("token_body", k.TokenBody, "either", "form", "json")
	oneOf("access_token_parameter", k.AccessTokenParameter, "ignored", "required", "refused")
	oneOf("grant_type_parameter", k.GrantTypeParameter, "ignored", "required", "refused")
	oneOf("old_tokens", k.OldTokens, "until_revoke", "at_once", "after")
	oneOf("webhook_signer", k.WebhookSigner, "oldest", "newest")
	oneOf("bucket_header", k.BucketHeader, "current", "old", "none")
	for field, d := range k.spans() {
		if *d < 0 && field != "skew_date" {
			errs = append(errs, fmt.Errorf("%s is %s: it must not be negative", field, *d))
		}
		if d.Abs() > maxSpan {
			errs = append(errs, fmt.Errorf("%s is %s: use ten years at most", field, *d))
		}
	}
	for field, r := range k.replies() {
		if r.Status < 200 || r.Status > 599 {
			errs = append(errs, fmt.Errorf("%s has status %d: use 200 to 599", field, r.Status))
		}
		if r.Status == 204 || r.Status == 205 || r.Status == 304 {
			errs = append(errs, fmt.Errorf("%s has status %d: use one that may have a body", field, r.Status))
		}
		if strings.ContainsFunc(r.Location, unicode.IsControl) {
			errs = append(errs, fmt.Errorf("%s has a location with a control character", field))
		}
	}
	if k.OldTokens == "after" && k.OldTokenLife == 0 {
		errs = append(errs, errors.New(`old_token_life is missing: old_tokens is "after"`))
	}
	if k.MaxLiveSecrets < 1 {
		errs = append(errs, fmt.Errorf("max_live_secrets is %d: use 1 or more", k.MaxLiveSecrets))
	}
	if k.BucketSize < 1 || k.BucketSize > 1_000_000 || !(k.BucketLeak > 0 && k.BucketLeak <= 1_000_000) {
		errs = append(errs, fmt.Errorf("bucket of %d that leaks %v a second: use more than 0 and at most a million of each", k.BucketSize, k.BucketLeak))
	}
	if k.ErrorsStatus < 400 || k.ErrorsStatus > 599 {
		errs = append(errs, fmt.Errorf("errors_status is %d: use 400 to 599", k.ErrorsStatus))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (k *Knobs) replies() map[string]Reply {
	return map[string]Reply{
		"expired_refresh_token": k.ExpiredRefreshToken,
		"unknown_refresh_token": k.UnknownRefreshToken,
		"foreign_refresh_token": k.ForeignRefreshToken,
		"revoked_refresh_token": k.RevokedRefreshToken,
		"used_refresh_token":    k.UsedRefreshToken,
		"unknown_client":        k.UnknownClient,
		"wrong_secret":          k.WrongSecret,
		"revoked_secret":        k.RevokedSecret,
		"dead_token":            k.DeadToken,
		"uninstalled_shop":      k.UninstalledShop,
		"frozen_shop":           k.FrozenShop,
		"unknown_shop":          k.UnknownShop,
	}
}

// spans names every duration, which JSON shows as "1h30m" and not as a count
// of nanoseconds.
func (k *Knobs) spans() map[string]*time.Duration {
	return map[string]*time.Duration{
		"refresh_token_life": &k.RefreshTokenLife,
		"old_token_life":     &k.OldTokenLife,
		"revoke_delay":       &k.RevokeDelay,
		"webhook_grace":      &k.WebhookGrace,
		"retry_after":        &k.RetryAfter,
		"throttle_block":     &k.ThrottleBlock,
		"slow_by":            &k.SlowBy,
		"skew_date":          &k.SkewDate,
	}
}

type plainKnobs Knobs // without the methods, so that JSON does not recurse

// MarshalJSON writes durations the way time.Duration prints them.
func (k Knobs) MarshalJSON() ([]byte, error) {
	raw, err := json.Marshal(plainKnobs(k))
	if err != nil {
		return nil, fmt.Errorf("encode knobs: %w", err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("encode knobs: %w", err)
	}
	for name, d := range k.spans() {
		fields[name] = json.RawMessage(`"` + d.String() + `"`)
	}
	return json.Marshal(fields)
}

// UnmarshalJSON refuses fields that are not knobs; fields left out mean their
// defaults.
func (k *Knobs) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	var out Knobs
	for name, d := range out.spans() {
		raw, ok := fields[name]
		if !ok {
			continue
		}
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return fmt.Errorf(`%s must be a duration in quotes, such as "90s"`, name)
		}
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf(`%s is %q: write a duration such as "90s"`, name, text)
		}
		*d = parsed
		delete(fields, name)
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("read knobs: %w", err)
	}
	if err := decodeStrict(rest, (*plainKnobs)(&out)); err != nil {
		return err
	}
	*k = out
	return nil
}
