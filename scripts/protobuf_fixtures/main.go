// Command protobuf-fixtures writes objects of Kubernetes as protobuf and JSON, for the tests of vcproxy/core/protobuf.py:
//
//	cd scripts/protobuf_fixtures && go run . ../../tests/fixtures/protobuf
//
// With -all it writes every kind of k8s.io/api, with every field set; with -verify it reads each NAME.pb of a folder and
// fails unless it is the object of NAME.json.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// full lists the kinds that are written with every field set.
var full = []string{
	"apps/v1 Deployment", "apps/v1 ControllerRevision", "v1 Pod", "v1 Namespace", "v1 PersistentVolumeClaim", "v1 Event",
	"v1 Binding", "v1 Secret", "v1 DeleteOptions", "networking.k8s.io/v1 NetworkPolicy", "events.k8s.io/v1 Event",
	"autoscaling/v2 HorizontalPodAutoscaler", "autoscaling/v1 Scale", "policy/v1 Eviction",
	"authentication.k8s.io/v1 TokenRequest", "authentication.k8s.io/v1 SelfSubjectReview",
	"resource.k8s.io/v1 ResourceClaim", "scheduling.k8s.io/v1alpha3 Workload", "v1 ConfigMapList", "v1 Status",
}

func main() {
	all := flag.Bool("all", false, "write every kind")
	verify := flag.Bool("verify", false, "read what stands in the folder")
	flag.Parse()
	scheme := newScheme()
	run := func() error { return write(scheme, flag.Arg(0), *all) }
	if *verify {
		run = func() error { return check(scheme, flag.Arg(0)) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(scheme *runtime.Scheme, folder string, all bool) error {
	for _, kind := range kinds(scheme, all) {
		object, err := scheme.New(kind)
		if err != nil {
			return err
		}
		fill(object)
		if err := save(scheme, folder, kind, "full", object); err != nil {
			return err
		}
	}
	for _, object := range sparse() {
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil {
			return err
		}
		if err := save(scheme, folder, kinds[0], "sparse", object); err != nil {
			return err
		}
	}
	return nil
}

// kinds are those of the list above, or all of k8s.io/api that have a protobuf form.
func kinds(scheme *runtime.Scheme, all bool) []schema.GroupVersionKind {
	found := []schema.GroupVersionKind{}
	for kind := range scheme.AllKnownTypes() {
		name := kind.GroupVersion().String() + " " + kind.Kind
		listed := false
		for _, one := range full {
			listed = listed || one == name
		}
		if listed || all && scheme.IsGroupRegistered(kind.Group) && sent(scheme, kind) {
			found = append(found, kind)
		}
	}
	sort.Slice(found, func(left, right int) bool { return found[left].String() < found[right].String() })
	return found
}

func sent(scheme *runtime.Scheme, kind schema.GroupVersionKind) bool {
	object, err := scheme.New(kind)
	_, proto := object.(interface{ Marshal() ([]byte, error) })
	home := ""
	if err == nil {
		home = pathOf(object)
	}
	return proto && strings.HasPrefix(home, "k8s.io/api/")
}

func save(scheme *runtime.Scheme, folder string, kind schema.GroupVersionKind, how string, object runtime.Object) error {
	object.GetObjectKind().SetGroupVersionKind(kind)
	var binary bytes.Buffer
	if err := protobuf.NewSerializer(scheme, scheme).Encode(object, &binary); err != nil {
		return err
	}
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	group, _, _ := strings.Cut(kind.Group, ".")
	path := filepath.Join(folder, strings.Trim(fmt.Sprintf("%s-%s-%s-%s", group, kind.Version, kind.Kind, how), "-"))
	if err := os.WriteFile(path+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(path+".pb", binary.Bytes(), 0o644)
}

func check(scheme *runtime.Scheme, folder string) error {
	paths, err := filepath.Glob(filepath.Join(folder, "*.pb"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := checkOne(scheme, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	fmt.Println(len(paths), "files are what their JSON says")
	return nil
}

func checkOne(scheme *runtime.Scheme, path string) error {
	binary, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	expected, err := os.ReadFile(strings.TrimSuffix(path, ".pb") + ".json")
	if err != nil {
		return err
	}
	object, kind, err := protobuf.NewSerializer(scheme, scheme).Decode(binary, nil, nil)
	if err != nil {
		return err
	}
	object.GetObjectKind().SetGroupVersionKind(*kind)
	text, err := json.Marshal(object)
	if err == nil && !bytes.Equal(append(text, '\n'), expected) {
		err = fmt.Errorf("it is %s", text)
	}
	return err
}
