package storybook

import (
	"encoding/json"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-sms-otp/caddy-sms-otp/caddymodule/web"
)

// Themes are the values of the query parameter "theme". With auto the browser
// decides, and the page has its real headers.
var Themes = []string{"auto", "light", "dark"}

// darkQuery is how the style asks for the dark theme.
const darkQuery = "@media (prefers-color-scheme: dark)"

var index = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Storybook</title>
<style>body{font:1rem/1.5 system-ui;margin:2rem}td{padding:.1rem .5rem}</style>
<h1>Every page in every language</h1>
<p>Theme: {{range .Themes}}<a href="?theme={{.}}">{{if eq . $.Theme}}<b>{{.}}</b>{{else}}{{.}}{{end}}</a> {{end}}</p>
<p>Side by side: {{range .Languages}}<a href="/sheet?lang={{.}}&theme={{$.Theme}}">{{.}}</a> {{end}}</p>
<table>{{range $s := .Stories}}<tr><th align="left">{{$s.Name}}{{range $.Languages}}<td><a href="/story/{{$s.Name}}?lang={{.}}&theme={{$.Theme}}">{{.}}</a>{{end}}{{end}}</table>`))

var sheet = template.Must(template.New("sheet").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{.Lang}}</title>
<style>body{font:1rem system-ui;margin:1rem;background:#888}figure{display:inline-block;margin:.25rem;vertical-align:top}iframe{width:{{.Width}}px;height:100px;border:0;display:block}</style>
{{range .Stories}}<figure><figcaption>{{.Name}}</figcaption><iframe src="/story/{{.Name}}?lang={{$.Lang}}&theme={{$.Theme}}" title="{{.Name}}" onload="this.style.height=this.contentDocument.body.scrollHeight+40+&quot;px&quot;"></iframe></figure>{{end}}`))

// Handler serves an index at /, each story at /story/NAME?lang=TAG&theme=THEME,
// and all or some of them side by side at /sheet?lang=TAG&theme=THEME&only=REGEXP.
func Handler(r *web.Renderer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, req *http.Request) {
		index.Execute(w, map[string]any{
			"Stories": Stories(), "Languages": r.Languages(), "Themes": Themes, "Theme": theme(req),
		})
	})
	mux.HandleFunc("GET /sheet", serveSheet)
	for _, story := range Stories() {
		mux.HandleFunc("GET /story/"+story.Name, func(w http.ResponseWriter, req *http.Request) {
			page := story.Page // one for each request: browsers ask for several at once
			page.Lang = r.Match(req.FormValue("lang"), req.Header.Get("Accept-Language"))
			page.StatusURL = "/status/" + story.Name
			serve(w, r, page, theme(req))
		})
		mux.HandleFunc("/status/"+story.Name, func(w http.ResponseWriter, _ *http.Request) { status(w, story.Page) })
	}
	return mux
}

func serveSheet(w http.ResponseWriter, req *http.Request) {
	only, err := regexp.Compile(req.FormValue("only"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	stories := slices.DeleteFunc(Stories(), func(s Story) bool { return !only.MatchString(s.Name) })
	theme := theme(req)
	if theme == "auto" {
		theme = "light" // the real headers forbid frames
	}
	sheet.Execute(w, map[string]any{"Stories": stories, "Lang": req.FormValue("lang"), "Theme": theme, "Width": 340})
}

func theme(req *http.Request) string {
	if t := req.FormValue("theme"); t != "" {
		return t
	}
	return "auto"
}

func serve(w http.ResponseWriter, r *web.Renderer, page web.Page, theme string) {
	document, err := r.Render(page)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for name, values := range r.Header() {
		w.Header()[name] = values
	}
	if theme != "auto" {
		// A forced theme changes the style, which the real policy would refuse.
		w.Header().Del("Content-Security-Policy")
		w.Header().Del("X-Frame-Options")
		document = []byte(forceTheme(string(document), theme))
	}
	w.Write(document)
}

// status answers the page's question in such a way that nothing changes.
func status(w http.ResponseWriter, page web.Page) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"state": "pending", "delivery": page.Delivery, "device": page.Device,
		"expires_at": page.ExpiresAt.Unix(), "resend_at": page.ResendAt.Unix(),
	})
}

func forceTheme(document, theme string) string {
	query, scheme := "@media not all", "light"
	if theme == "dark" {
		query, scheme = "@media all", "dark"
	}
	document = strings.Replace(document, darkQuery, query, 1)
	return strings.Replace(document, `content="light dark"`, `content="`+scheme+`"`, 1)
}
