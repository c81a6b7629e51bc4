package main

import (
	"context"
	"fmt"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	finalizer = "example.com/farewell"
	ready     = "Ready"
	// gone is a ConfigMap of the namespace: what is left of sites that were deleted, by name.
	gone = "sites-gone"
)

type reconciler struct {
	client.Client
	events events.EventRecorder
	image  string
}

func (r *reconciler) watch(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).
		For(&Site{}).
		Owns(&core.ConfigMap{}).
		Owns(&apps.Deployment{}).
		Complete(r)
}

// Reconcile brings what belongs to one site into line with it, and says in its status how far that is.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	site := &Site{}
	if err := r.Get(ctx, request.NamespacedName, site); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !site.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.farewell(ctx, site)
	}
	if controllerutil.AddFinalizer(site, finalizer) {
		return ctrl.Result{}, r.Update(ctx, site) // the change brings the next call
	}
	if err := r.page(ctx, site); err != nil {
		return ctrl.Result{}, err
	}
	found, err := r.pods(ctx, site)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.tell(ctx, site, found)
}

// farewell writes down that the site was there; the garbage collector removes what it owns.
func (r *reconciler) farewell(ctx context.Context, site *Site) error {
	if !controllerutil.ContainsFinalizer(site, finalizer) {
		return nil
	}
	list := &core.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: site.Namespace, Name: gone}}
	_, err := controllerutil.CreateOrUpdate(ctx, r.Client, list, func() error {
		if list.Data == nil {
			list.Data = map[string]string{}
		}
		list.Data[site.Name] = string(site.UID)
		return nil
	})
	if err != nil {
		return err
	}
	controllerutil.RemoveFinalizer(site, finalizer)
	return r.Update(ctx, site)
}

func (r *reconciler) page(ctx context.Context, site *Site) error {
	page := &core.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: site.Namespace, Name: site.Name + "-page"}}
	done, err := controllerutil.CreateOrUpdate(ctx, r.Client, page, func() error {
		page.Data = map[string]string{"index.html": site.Spec.Content}
		return controllerutil.SetControllerReference(site, page, r.Scheme())
	})
	if err == nil && done != controllerutil.OperationResultNone {
		log.FromContext(ctx).Info("the page was " + string(done))
		r.events.Eventf(site, page, core.EventTypeNormal, "PageWritten", "Write", "the page was %s", string(done))
	}
	return err
}

func (r *reconciler) pods(ctx context.Context, site *Site) (*apps.Deployment, error) {
	found := &apps.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: site.Namespace, Name: site.Name}}
	_, err := controllerutil.CreateOrUpdate(ctx, r.Client, found, func() error {
		replicas := site.Spec.Replicas
		found.Spec.Replicas = &replicas
		if found.Spec.Selector == nil {
			found.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels(site)}
			found.Spec.Template = r.template(site)
		}
		return controllerutil.SetControllerReference(site, found, r.Scheme())
	})
	return found, err
}

func (r *reconciler) template(site *Site) core.PodTemplateSpec {
	grace := int64(1) // httpd does not end with SIGTERM
	page := core.ConfigMapVolumeSource{LocalObjectReference: core.LocalObjectReference{Name: site.Name + "-page"}}
	return core.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels(site)},
		Spec: core.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers: []core.Container{{
				Name:         "httpd",
				Image:        r.image,
				Command:      []string{"busybox", "httpd", "-f", "-p", "8080", "-h", "/page"},
				VolumeMounts: []core.VolumeMount{{Name: "page", MountPath: "/page"}},
			}},
			Volumes: []core.Volume{{Name: "page", VolumeSource: core.VolumeSource{ConfigMap: &page}}},
		},
	}
}

func labels(site *Site) map[string]string {
	return map[string]string{"example.com/site": site.Name}
}

// tell writes the status where it has changed.
func (r *reconciler) tell(ctx context.Context, site *Site, pods *apps.Deployment) error {
	before := site.copy()
	site.Status.ObservedGeneration = site.Generation
	site.Status.Replicas = pods.Status.Replicas
	site.Status.Selector = metav1.FormatLabelSelector(pods.Spec.Selector)
	now := condition(site, pods)
	changed := meta.SetStatusCondition(&site.Status.Conditions, now)
	if !changed && before.Status.ObservedGeneration == site.Generation && before.Status.Replicas == site.Status.Replicas {
		return nil
	}
	if changed && now.Status == metav1.ConditionTrue {
		r.events.Eventf(site, pods, core.EventTypeNormal, "Served", "Serve", "%s", now.Message)
	}
	return r.Status().Patch(ctx, site, client.MergeFrom(before))
}

func condition(site *Site, pods *apps.Deployment) metav1.Condition {
	available := pods.Status.AvailableReplicas
	found := metav1.Condition{
		Type: ready, Status: metav1.ConditionFalse, Reason: "Waiting", ObservedGeneration: site.Generation,
		Message: fmt.Sprintf("%d of %d pods serve the page", available, site.Spec.Replicas),
	}
	if pods.Status.ObservedGeneration >= pods.Generation && available == site.Spec.Replicas {
		found.Status, found.Reason = metav1.ConditionTrue, "Served"
	}
	return found
}
