// Command insider is an in-cluster client: what a program in a pod sees of its cluster, as one JSON document.
//
// usage: insider look NAME...   variables, files, objects of its namespace, addresses of names
//
//	insider lead LEASE     become the leader, then tell so and end
//	insider wait           sleep until SIGTERM
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const folder = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("look, lead or wait")
	}
	if arguments[0] == "wait" {
		<-ctx.Done()
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, 60*time.Second)
	defer stop()
	client, namespace, err := inCluster()
	if err != nil {
		return err
	}
	if arguments[0] == "lead" {
		return lead(ctx, client, namespace, arguments[1])
	}
	return look(ctx, client, namespace, arguments[1:])
}

// inCluster is what every program in a pod does: rest.InClusterConfig, and the namespace from its file.
func inCluster() (*kubernetes.Clientset, string, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, "", err
	}
	namespace, err := os.ReadFile(folder + "namespace")
	if err != nil {
		return nil, "", err
	}
	client, err := kubernetes.NewForConfig(config)
	return client, string(namespace), err
}

func look(ctx context.Context, client *kubernetes.Clientset, namespace string, names []string) error {
	maps := client.CoreV1().ConfigMaps(namespace)
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "from-inside"}, Data: map[string]string{"by": "insider"}}
	written, err := maps.Create(ctx, made, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := maps.Delete(ctx, written.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	listed := []string{}
	for _, pod := range pods.Items {
		listed = append(listed, pod.Namespace+"/"+pod.Name)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"namespace": namespace, "written": written.Namespace, "pods": listed,
		"variables": variables(), "addresses": addresses(ctx, names),
	})
}

func variables() map[string]string {
	found := map[string]string{}
	for _, one := range os.Environ() {
		name, value, _ := strings.Cut(one, "=")
		found[name] = value
	}
	return found
}

// addresses by name; none where there is no such name.
func addresses(ctx context.Context, names []string) map[string][]string {
	found := map[string][]string{}
	for _, name := range names {
		addresses, err := net.DefaultResolver.LookupHost(ctx, name)
		if err != nil {
			addresses = []string{}
		}
		found[name] = addresses
	}
	return found
}

func lead(ctx context.Context, client *kubernetes.Clientset, namespace, name string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	identity, _ := os.Hostname()
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
	led := false
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second, RetryPeriod: time.Second,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { led = true; fmt.Println(identity, "leads"); stop() },
			OnStoppedLeading: func() {},
		},
	})
	if !led {
		return errors.New("somebody else led for a minute")
	}
	return nil
}
