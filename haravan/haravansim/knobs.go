package haravansim

import "time"

// Knobs settle the questions that Haravan's documents leave open. The zero
// value of each field means its default; nobody outside Haravan knows that any
// default is right, so a client has to live with all of them.
type Knobs struct {
	// RefreshTokenLife is how long a refresh token works; default one hour
	// ("API Credential Rotation", step 4).
	RefreshTokenLife time.Duration `json:"refresh_token_life"`
	// RefreshTokenUses is "multi" (default), "once_per_shop" or "once".
	RefreshTokenUses string `json:"refresh_token_uses"`
	// ExpiredRefreshToken answers an exchange after the refresh token's life;
	// default 400 invalid_grant, like the four below.
	ExpiredRefreshToken Reply `json:"expired_refresh_token"`
	// UnknownRefreshToken answers a refresh token that was never made.
	UnknownRefreshToken Reply `json:"unknown_refresh_token"`
	// ForeignRefreshToken answers a refresh token of another app.
	ForeignRefreshToken Reply `json:"foreign_refresh_token"`
	// RevokedRefreshToken answers a refresh token deleted in the dashboard.
	RevokedRefreshToken Reply `json:"revoked_refresh_token"`
	// UsedRefreshToken answers a second use where RefreshTokenUses forbids it.
	UsedRefreshToken Reply `json:"used_refresh_token"`

	// UnknownClient answers another client_id; default 401 invalid_client.
	UnknownClient Reply `json:"unknown_client"`
	// WrongSecret answers a secret that never was; default 401 invalid_client.
	WrongSecret Reply `json:"wrong_secret"`
	// RevokedSecret answers a revoked secret; default 401 invalid_client.
	RevokedSecret Reply `json:"revoked_secret"`

	// SecretParameter is the name the secret must come under: "client_secret"
	// (default: what the samples send), "shared_secret" (what the parameter
	// table says) or "either".
	SecretParameter string `json:"secret_parameter"`
	// TokenPath is "either" (default), "plain" or "json": whether the token
	// endpoint answers under /admin/oauth/access_token, with .json, or both.
	TokenPath string `json:"token_path"`
	// TokenBody is "either" (default), "form" or "json".
	TokenBody string `json:"token_body"`
	// AccessTokenParameter says what an access_token in the exchange does:
	// "ignored" (default), "required" (and alive) or "refused".
	AccessTokenParameter string `json:"access_token_parameter"`
	// GrantTypeParameter says the same of grant_type=refresh_token.
	GrantTypeParameter string `json:"grant_type_parameter"`

	// RepeatReturnsSame makes an exchange answer the living token that this
	// secret already minted for the shop; default false: a new one each time.
	RepeatReturnsSame bool `json:"repeat_returns_same"`
	// OldTokens says how long the tokens before the newest live: "until_revoke"
	// of their secret (default), "at_once" or "after" OldTokenLife.
	OldTokens string `json:"old_tokens"`
	// OldTokenLife goes with OldTokens "after".
	OldTokenLife time.Duration `json:"old_token_life"`
	// RevokeDelay is how long a revoked secret and its tokens go on working;
	// default none. It is read when the secret is revoked.
	RevokeDelay time.Duration `json:"revoke_delay"`
	// MaxLiveSecrets is how many secrets may live at once; default 2.
	MaxLiveSecrets int `json:"max_live_secrets"`
	// WebhookSigner says which live secret signs webhooks: "oldest" (default)
	// or "newest".
	WebhookSigner string `json:"webhook_signer"`
	// WebhookGrace is how long after its revoke a secret goes on signing;
	// default none. Public reports of a sister platform say up to an hour.
	WebhookGrace time.Duration `json:"webhook_grace"`

	// DeadToken answers an identity read with a dead or unknown token, also of
	// an uninstalled shop; default 401 with errors as a string.
	DeadToken Reply `json:"dead_token"`
	// UninstalledShop answers an exchange for a shop without the app; default
	// 401 app_not_installed.
	UninstalledShop Reply `json:"uninstalled_shop"`
	// FrozenShop answers everything for a frozen shop; default 402.
	FrozenShop Reply `json:"frozen_shop"`
	// UnknownShop answers everything for a shop that is not there; default 404.
	UnknownShop Reply `json:"unknown_shop"`

	// IdentityScope is what a token needs to read the shop's identity; default
	// nothing. A token that a legacy credential gave has few ("read_shop" is not
	// among them) and is answered 403.
	IdentityScope string `json:"identity_scope"`

	// BucketSize and BucketLeak (calls per second) shape each shop's bucket;
	// default 80 and 4. Older pages say 40 and 2.
	BucketSize int     `json:"bucket_size"`
	BucketLeak float64 `json:"bucket_leak"`
	// BucketHeader is "current" (X-Haravan-Api-Call-Limit, default), "old"
	// (X-Haravan-Shop-Api-Call-Limit) or "none".
	BucketHeader string `json:"bucket_header"`
	// TokenEndpointCounts makes token calls fill the bucket too; default false.
	TokenEndpointCounts bool `json:"token_endpoint_counts"`
	// RetryAfter is what a 429 asks for; default 2 s, written "2.0".
	RetryAfter time.Duration `json:"retry_after"`
	// BucketOmitsRetryAfter leaves the header out when the bucket is full.
	BucketOmitsRetryAfter bool `json:"bucket_omits_retry_after"`
	// ThrottleBlock is how long a shop refuses everything after a 429, whatever
	// Retry-After said; default none. An older page says five minutes.
	ThrottleBlock time.Duration `json:"throttle_block"`

	// ErrorsStatus is the status of the errors_* faults; default 500.
	ErrorsStatus int `json:"errors_status"`
	// SlowBy is what FaultSlow adds; default 1.5 s.
	SlowBy time.Duration `json:"slow_by"`
	// SkewDate moves the Date header away from the clock; default none.
	SkewDate time.Duration `json:"skew_date"`
	// DateFollowsClock makes the Date header follow Sim.Advance; by default it
	// shows the time before any advance.
	DateFollowsClock bool `json:"date_follows_clock"`
}

// Reply is an answer that a knob settles. Its zero value means the default.
type Reply struct {
	// Status is the HTTP status, 200 to 599 except those that have no body.
	Status int `json:"status"`
	// Body is sent as JSON if it begins with { or [, as HTML if with <, and as
	// plain text otherwise.
	Body string `json:"body"`
	// Location is the header of that name, for redirects.
	Location string `json:"location,omitempty"`
}

// filled returns k with the default in every zero field.
func (k Knobs) filled() Knobs {
	def(&k.RefreshTokenLife, time.Hour)
	def(&k.RefreshTokenUses, "multi")
	grant := func(words string) Reply { return oauthReply(400, "invalid_grant", words) }
	def(&k.ExpiredRefreshToken, grant("refresh token expired"))
	def(&k.UnknownRefreshToken, grant("refresh token not found"))
	def(&k.ForeignRefreshToken, grant("refresh token was issued to another client"))
	def(&k.RevokedRefreshToken, grant("refresh token revoked"))
	def(&k.UsedRefreshToken, grant("refresh token already used"))
	client := func(words string) Reply { return oauthReply(401, "invalid_client", words) }
	def(&k.UnknownClient, client("client not found"))
	def(&k.WrongSecret, client("client authentication failed"))
	def(&k.RevokedSecret, client("client authentication failed"))
	def(&k.SecretParameter, "client_secret")
	def(&k.TokenPath, "either")
	def(&k.TokenBody, "either")
	def(&k.AccessTokenParameter, "ignored")
	def(&k.GrantTypeParameter, "ignored")
	def(&k.OldTokens, "until_revoke")
	def(&k.MaxLiveSecrets, 2)
	def(&k.WebhookSigner, "oldest")
	def(&k.DeadToken, errorsReply(401, "[API] Invalid API key or access token (unrecognized login or wrong password)"))
	def(&k.UninstalledShop, oauthReply(401, "app_not_installed", "the app is not installed in this shop"))
	def(&k.FrozenShop, errorsReply(402, "Unavailable Shop"))
	def(&k.UnknownShop, errorsReply(404, "Not Found"))
	def(&k.BucketSize, 80)
	def(&k.BucketLeak, 4)
	def(&k.BucketHeader, "current")
	def(&k.RetryAfter, 2*time.Second)
	def(&k.ErrorsStatus, 500)
	def(&k.SlowBy, 1500*time.Millisecond)
	return k
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func oauthReply(status int, code, words string) Reply {
	return Reply{Status: status, Body: `{"error":"` + code + `","error_description":"` + words + `"}`}
}

func errorsReply(status int, words string) Reply {
	return Reply{Status: status, Body: `{"errors":"` + words + `"}`}
}
