package deliver

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// typeRotated is the one type of message.
const typeRotated = "token.rotated"

// Message tells an app one shop's newest token.
type Message struct {
	// ID is the same for every try of the same token: letters, digits, _ and -.
	ID    string
	App   string
	Shop  string // its domain
	OrgID int64  // 0 if unknown
	Token secret.String
	// Generation grows with every token that is stored for the shop.
	Generation int64
	// Run is the run that made the token, At when it became the shop's.
	Run int64
	At  time.Time
}

// body is the message's JSON. The field names are a contract with receivers.
func (m Message) body() ([]byte, error) {
	text, err := json.Marshal(struct {
		ID          string `json:"id"`
		Type        string `json:"type"`
		App         string `json:"app"`
		Shop        string `json:"shop"`
		OrgID       int64  `json:"org_id,omitempty"`
		AccessToken string `json:"access_token"`
		Generation  int64  `json:"generation"`
		Run         int64  `json:"run"`
		At          string `json:"at"`
	}{m.ID, typeRotated, m.App, m.Shop, m.OrgID, m.Token.Reveal(), m.Generation, m.Run, m.At.UTC().Format(time.RFC3339Nano)})
	if err != nil {
		return nil, fmt.Errorf("encode the message for %s: %w", m.Shop, err)
	}
	return text, nil
}
