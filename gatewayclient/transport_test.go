package gatewayclient

import (
	"net/http"
	"reflect"
	"testing"
)

func TestOwnTransportVerifiesTLSAndTakesTheProxyOfTheEnvironment(t *testing.T) {
	tr := newTransport(Config{}).http.Transport.(*http.Transport)
	if c := tr.TLSClientConfig; c != nil && c.InsecureSkipVerify {
		t.Error("TLS is not verified")
	}
	if reflect.ValueOf(tr.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		t.Error("the environment's proxy is not used")
	}
}

func TestGivenClientIsNotChanged(t *testing.T) {
	given := &http.Client{}
	if h := newTransport(Config{HTTP: given}).http; h.CheckRedirect == nil || given.CheckRedirect != nil {
		t.Error("redirects are followed, or the caller's own client was changed")
	}
}
