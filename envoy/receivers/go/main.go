// A receiver of Gatepost's webhooks, complete, with nothing but Go 1.19 or newer and its standard library.
//
//	WEBHOOK_SECRET=... PORT=8080 go run .
//
// It takes POSTs at /webhooks and answers /health. Make it yours in work, at the end of this file.
//
// A 2xx is a promise, for the sender forgets the event then. So an event is on disk before the answer leaves, and is
// worked on after it: the answer is quick however long the work takes, and a crash loses nothing. The directory is queue
// and memory in one: new/<id> waits for its work, done/<id> is an id that had it. Where you have a database, a table
// with the id as its primary key does the same, for many instances of this at once.
//
// Environment: WEBHOOK_SECRET; WEBHOOK_SECRET_NEXT, accepted too, while the secret is changed; HOST and PORT (127.0.0.1
// and 8080; port 0 is any free one); INBOX, the directory (./inbox), for one process alone.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	past    = 300 * time.Second
	future  = 30 * time.Second
	bodyMax = 1 << 20
	// Ids are remembered for longer than the sender keeps trying: its max_age, a day, and an hour.
	remembered = 25 * time.Hour
	// Events that wait for their work; above, the sender is asked to come back.
	waitingMax = 10_000
	workAgain  = 10 * time.Second
	readTime   = 10 * time.Second
	// Longer than the sender keeps an idle connection, else it sees a reset now and then.
	idleTime = 75 * time.Second
)

// form is what a header must look like.
type form struct {
	pattern  *regexp.Regexp
	expected string
}

var (
	signatureForm = form{regexp.MustCompile(`^[0-9a-f]{64}$`), "64 lower-case hex digits"}
	// A sender signs with few secrets at once.
	signaturesForm = form{
		regexp.MustCompile(`^[0-9a-f]{64}(, ?[0-9a-f]{64}){0,7}$`),
		"at most 8 times 64 lower-case hex digits, comma-separated",
	}
	timestampForm = form{regexp.MustCompile(`^[0-9]{13}$`), "Unix time in milliseconds, 13 digits"}
	idForm        = form{regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`), "a UUID in lower case"}
	eventForm     = form{regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,128}$`), "an event type"}
)

// refused is what is answered instead of 200, and why: enough for the sender to find its mistake.
type refused struct {
	status     int
	reason     string
	retryAfter string
}

func (r *refused) Error() string { return r.reason }

func refuse(status int, reason string, values ...any) error {
	return &refused{status: status, reason: fmt.Sprintf(reason, values...)}
}

// headers reads what it is asked for, and keeps the first problem.
type headers struct {
	http.Header
	problem error
}

// one is the one value of a header. Two are refused: who knows which of them others believe.
func (h *headers) one(name string, form form, required bool) string {
	// Not Get, which takes the first and hides the second.
	values := h.Values(name)
	switch {
	case h.problem != nil || len(values) == 0 && !required:
	case len(values) != 1:
		h.problem = refuse(400, "%s: %d of it, expected one", name, len(values))
	case !form.pattern.MatchString(values[0]):
		h.problem = refuse(400, "%s: expected %s", name, form.expected)
	default:
		return values[0]
	}
	return ""
}

// verify gives the id and type of an event that is what the sender signed, and just now.
func verify(secrets [][]byte, header http.Header, body []byte, now time.Time) (id, event string, err error) {
	headers := headers{Header: header}
	signature := headers.one("X-Webhook-Signature", signatureForm, true)
	also := headers.one("X-Webhook-Signature-Also", signaturesForm, false)
	timestamp := headers.one("X-Webhook-Timestamp", timestampForm, true)
	id = headers.one("X-Webhook-Id", idForm, true)
	event = headers.one("X-Webhook-Event", eventForm, true)
	if headers.problem != nil {
		return "", "", headers.problem
	}
	milliseconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return "", "", err
	}
	age := now.Sub(time.UnixMilli(milliseconds))
	if age > past {
		return "", "", refuse(401, "X-Webhook-Timestamp: %.0f s old, at most %.0f s", age.Seconds(), past.Seconds())
	}
	if -age > future {
		return "", "", refuse(401, "X-Webhook-Timestamp: %.0f s ahead, at most %.0f s", -age.Seconds(), future.Seconds())
	}
	signatures := append(strings.Split(also, ","), signature)
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(timestamp + "."))
		mac.Write(body)
		expected := []byte(hex.EncodeToString(mac.Sum(nil)))
		for _, candidate := range signatures {
			// In constant time: == tells by its time how much of a guess was right.
			if hmac.Equal(expected, []byte(strings.TrimSpace(candidate))) {
				return id, event, nil
			}
		}
	}
	return "", "", refuse(401, "X-Webhook-Signature: no secret known here gives it for this timestamp and body")
}

// receiver answers requests.
type receiver struct {
	secrets [][]byte
	inbox   *inbox
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	begun := time.Now()
	status := http.StatusOK
	text, note, err := r.dispatch(w, request)
	var no *refused
	switch {
	case errors.As(err, &no):
		status, text = no.status, no.reason
		if no.retryAfter != "" {
			w.Header().Set("Retry-After", no.retryAfter)
		}
	case err != nil:
		// The sender tries again: nothing was promised.
		status, text, note = http.StatusServiceUnavailable, "cannot keep it now", " problem="+strconv.Quote(err.Error())
		w.Header().Set("Retry-After", "5")
	}
	log.Printf("%s %d '%s'%s %dms", method(request), status, text, note, time.Since(begun).Milliseconds())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// method is never more than a word of ours in the log.
func method(request *http.Request) string {
	switch request.Method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return request.Method
	}
	return "OTHER"
}

func (r *receiver) dispatch(w http.ResponseWriter, request *http.Request) (text, note string, err error) {
	allowed := map[string][]string{"/health": {"GET", "HEAD"}, "/webhooks": {"POST"}}[request.URL.Path]
	if allowed == nil {
		return "", "", refuse(404, "not here: POST /webhooks")
	}
	if !contains(allowed, request.Method) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return "", "", refuse(405, "not with this method")
	}
	if request.URL.Path == "/health" {
		return "ok", "", nil
	}
	// The raw bytes are what was signed. Nothing has parsed them, and nothing does before work.
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, bodyMax))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return "", "", refuse(413, "the body is over %d bytes", bodyMax)
	}
	if err != nil {
		return "", "", refuse(408, "the body did not arrive")
	}
	id, event, err := verify(r.secrets, request.Header, body, time.Now())
	if err != nil {
		return "", "", err
	}
	kept, err := r.inbox.keep(id, event, body)
	if !kept {
		return "kept before", " id=" + id, err
	}
	return "kept", " id=" + id, err
}

func contains(words []string, word string) bool {
	for _, one := range words {
		if one == word {
			return true
		}
	}
	return false
}

func readSecrets() ([][]byte, error) {
	var secrets [][]byte
	for _, name := range []string{"WEBHOOK_SECRET", "WEBHOOK_SECRET_NEXT"} {
		secret := os.Getenv(name)
		if secret != strings.TrimSpace(secret) {
			return nil, fmt.Errorf("%s: white space around it, often the newline of a file; the sender signs without", name)
		}
		if secret != "" {
			secrets = append(secrets, []byte(secret))
		} else if name == "WEBHOOK_SECRET" {
			return nil, fmt.Errorf("%s: expected the secret that is shared with the sender", name)
		}
	}
	return secrets, nil
}

func serve(ctx context.Context) error {
	secrets, err := readSecrets()
	if err != nil {
		return err
	}
	box, err := openInbox(environment("INBOX", "inbox"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(environment("HOST", "127.0.0.1"), environment("PORT", "8080")))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           &receiver{secrets, box},
		ReadHeaderTimeout: readTime,
		ReadTimeout:       readTime,
		WriteTimeout:      2 * readTime,
		IdleTimeout:       idleTime,
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	worked := make(chan struct{})
	go func() {
		box.run(ctx)
		close(worked)
	}()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// No new connection; what is being answered is answered; the event in work is finished. The rest is on disk.
	patience, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	err = server.Shutdown(patience)
	<-worked
	return err
}

func environment(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// work is yours. Here the body may be parsed, with json.Unmarshal.
//
// It runs after the answer, one event at a time, and again after a failure (an error) or a crash: make it idempotent,
// with the id as the key. It must not fail for what will never succeed: log that and return nil.
func work(id, event string, body []byte) error {
	_, err := fmt.Printf("processed %s %s\n", id, event)
	return err
}
