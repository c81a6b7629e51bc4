// Command informer runs client-go reflectors and prints what they asked and what they were told, one JSON line each.
//
// usage: informer KUBECONFIG RESOURCE... (as configmaps, apps/v1/deployments); it ends with SIGTERM.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// printer writes whole lines from many goroutines.
type printer struct {
	lock sync.Mutex
	to   *json.Encoder
}

func (p *printer) line(fields map[string]any) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if err := p.to.Encode(fields); err != nil {
		os.Exit(1)
	}
}

// ending tells how a watch's answer ended: after how many seconds and bytes. client-go begins anew where both are few.
type ending struct {
	io.ReadCloser
	told   sync.Once
	bytes  int
	begun  time.Time
	out    *printer
	fields map[string]any
}

func (e *ending) Read(into []byte) (int, error) {
	count, err := e.ReadCloser.Read(into)
	e.bytes += count
	if err != nil {
		e.tell(err.Error())
	}
	return count, err
}

func (e *ending) Close() error {
	e.tell("closed here")
	return e.ReadCloser.Close()
}

func (e *ending) tell(why string) {
	e.told.Do(func() {
		e.fields["ended"], e.fields["bytes"], e.fields["seconds"] = why, e.bytes, time.Since(e.begun).Seconds()
		e.out.line(e.fields)
	})
}

// counted tells of each list and watch with the code of its answer; 0 where there was none.
type counted struct {
	next http.RoundTripper
	out  *printer
}

func (c counted) RoundTrip(request *http.Request) (*http.Response, error) {
	query, kind := request.URL.Query(), "list"
	if query.Get("watch") != "" {
		kind = "watch"
	}
	begun, initial := time.Now(), query.Get("sendInitialEvents") == "true"
	answer, err := c.next.RoundTrip(request)
	fields := map[string]any{"request": kind, "path": request.URL.Path, "since": query.Get("resourceVersion"),
		"initial": initial, "code": 0}
	if err == nil {
		fields["code"] = answer.StatusCode
	} else {
		fields["error"] = err.Error()
	}
	c.out.line(fields)
	if err == nil && kind == "watch" && answer.StatusCode == http.StatusOK {
		answer.Body = &ending{ReadCloser: answer.Body, begun: begun, out: c.out, fields: map[string]any{"began": initial}}
	}
	return answer, err
}

func (p *printer) notify(what string, object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		what, object = what+" (final state unknown)", gone.Obj
	}
	found, ok := object.(*unstructured.Unstructured)
	if !ok {
		return
	}
	count, _, _ := unstructured.NestedString(found.Object, "data", "counter")
	p.line(map[string]any{"event": what, "kind": found.GetKind(), "namespace": found.GetNamespace(),
		"name": found.GetName(), "uid": found.GetUID(), "resourceVersion": found.GetResourceVersion(), "counter": count})
}

func (p *printer) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { p.notify("add", object) },
		UpdateFunc: func(_, object any) { p.notify("update", object) },
		DeleteFunc: func(object any) { p.notify("delete", object) },
	}
}

func resource(word string) schema.GroupVersionResource {
	parts := strings.Split(word, "/")
	if len(parts) == 3 {
		return schema.GroupVersionResource{Group: parts[0], Version: parts[1], Resource: parts[2]}
	}
	return schema.GroupVersionResource{Version: "v1", Resource: word}
}

func run(kubeconfig string, words []string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	out := &printer{to: json.NewEncoder(os.Stdout)}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return counted{next, out} })
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	informers := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	for _, word := range words {
		if _, err := informers.ForResource(resource(word)).Informer().AddEventHandler(out.handler()); err != nil {
			return err
		}
	}
	informers.Start(stop)
	informers.WaitForCacheSync(stop)
	out.line(map[string]any{"synced": true})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	close(stop)
	informers.Shutdown()
	return nil
}

func main() {
	if len(os.Args) < 3 {
		os.Stderr.WriteString("usage: informer KUBECONFIG RESOURCE...\n")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}
