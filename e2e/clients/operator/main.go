// Command operator keeps a ConfigMap and a Deployment for each Site of a cluster.
//
// usage: operator [--kubeconfig FILE] [--namespace NAME] [--image IMAGE]
//
// In a pod it takes the pod's own credentials and namespace; `namespace` is where its Lease lies. It ends with SIGTERM.
package main

import (
	"flag"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgo "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func options(namespace string) ctrl.Options {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgo.AddToScheme(scheme))
	utilruntime.Must(register(scheme))
	lasting, renewal, pause := 6*time.Second, 4*time.Second, time.Second
	return ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       metrics.Options{BindAddress: "0"},
		LeaderElection:                true,
		LeaderElectionID:              "sites.example.com",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &lasting,
		RenewDeadline:                 &renewal,
		RetryPeriod:                   &pause,
	}
}

func run(namespace, image string) error {
	ctrl.SetLogger(zap.New())
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, options(namespace))
	if err != nil {
		return err
	}
	sites := &reconciler{Client: manager.GetClient(), events: manager.GetEventRecorder("site-operator"), image: image}
	if err := sites.watch(manager); err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

func main() {
	namespace := flag.String("namespace", "", "where the Lease lies; by default the pod's own namespace")
	image := flag.String("image", "registry.k8s.io/e2e-test-images/busybox:1.37.0-2", "what serves pages: it has a httpd")
	flag.Parse()
	if err := run(*namespace, *image); err != nil {
		ctrl.Log.Error(err, "the operator ended")
		os.Exit(1)
	}
}
