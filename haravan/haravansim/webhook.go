package haravansim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// SignWebhook returns what X-Haravan-Hmacsha256 carries for a body: base64 of
// HMAC-SHA256 under the secret that Knobs.WebhookSigner picks, and its version.
// A revoked secret still counts as live for Knobs.WebhookGrace. It fails when
// no secret is live.
func (s *Sim) SignWebhook(body []byte) (signature string, version int, err error) {
	k, now := s.knobs.Load(), s.Now()
	for _, x := range s.creds.book.Load().secrets {
		if !x.DiesAt.IsZero() && !now.Before(x.DiesAt.Add(k.WebhookGrace)) {
			continue
		}
		mac := hmac.New(sha256.New, []byte(x.Value))
		mac.Write(body)
		signature, version = base64.StdEncoding.EncodeToString(mac.Sum(nil)), x.Version
		if k.WebhookSigner == "oldest" {
			break
		}
	}
	if version == 0 {
		return "", 0, errors.New("sign webhook: every secret is revoked: create one first")
	}
	return signature, version, nil
}
