package caddymodule

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/caddy-sms-otp/caddy-sms-otp/otpcore"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
)

// keyPath is where the key lies in Caddy's storage if the configuration names none.
const keyPath = "sms_otp/key"

// resolve replaces the placeholders of a setting. One that resolves to nothing
// is an error: Caddy would silently make it empty, and an empty secret is worse than none.
func resolve(option, value string) (string, error) {
	resolved, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w; set it, or write the value itself", option, err)
	}
	resolved = strings.TrimSpace(resolved)
	if resolved == "" {
		return "", fmt.Errorf("%s: %s resolves to nothing; set it, or write the value itself", option, value)
	}
	return resolved, nil
}

// resolveKeys reads the keys of the configuration, which holds them as base64.
func resolveKeys(written []string) ([][]byte, error) {
	keys := make([][]byte, 0, len(written))
	for i, w := range written {
		text, err := resolve(fmt.Sprintf("key %d", i+1), w)
		if err != nil {
			return nil, err
		}
		key, err := parseKey(i, text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// parseKey reads the key at position i of the option.
func parseKey(i int, text string) ([]byte, error) {
	key, err := decodeKey(text)
	if err != nil {
		return nil, fmt.Errorf("key %d is not base64; make one with: openssl rand -base64 32", i+1)
	}
	if len(key) < otpcore.MinKeyLength {
		return nil, fmt.Errorf("key %d has %d bytes, at least %d are needed; make one with: openssl rand -base64 32", i+1, len(key), otpcore.MinKeyLength)
	}
	return key, nil
}

func decodeKey(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if key, err := base64.RawStdEncoding.DecodeString(text); err == nil {
		return key, nil
	}
	return base64.RawURLEncoding.DecodeString(text)
}

// storedKey returns the key in Caddy's storage, which it makes if there is none.
// Servers that share a storage share the key: one of them makes it, under the storage's lock.
func storedKey(ctx context.Context, storage certmagic.Storage) (key []byte, err error) {
	if err := storage.Lock(ctx, keyPath); err != nil {
		return nil, fmt.Errorf("locking the key in Caddy's storage: %w", err)
	}
	defer func() { err = errors.Join(err, storage.Unlock(context.WithoutCancel(ctx), keyPath)) }()
	text, err := storage.Load(ctx, keyPath)
	switch {
	case err == nil:
		key, err = decodeKey(strings.TrimSpace(string(text)))
		if err != nil || len(key) < otpcore.MinKeyLength {
			return nil, fmt.Errorf("the key in Caddy's storage (%s) is damaged; restore it from a backup, or delete it to have a new one made (everybody will be asked for a code again)", keyPath)
		}
		return key, nil
	case errors.Is(err, fs.ErrNotExist):
		key = make([]byte, otpcore.MinKeyLength)
		rand.Read(key)
		if err := storage.Store(ctx, keyPath, []byte(base64.StdEncoding.EncodeToString(key))); err != nil {
			return nil, fmt.Errorf("keeping the key in Caddy's storage: %w", err)
		}
		return key, nil
	default:
		return nil, fmt.Errorf("reading the key from Caddy's storage: %w", err)
	}
}
