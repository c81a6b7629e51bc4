package main

import (
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// pathOf is the import path of the package of an object.
func pathOf(object runtime.Object) string {
	return reflect.TypeOf(object).Elem().PkgPath()
}

// sparse are objects as clients make them, most fields unset; where "unset" and "empty" differ, both are there.
func sparse() []runtime.Object {
	empty := ""
	return []runtime.Object{
		deployment(),
		&corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: "data"},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				StorageClassName: &empty,
			},
		},
		&networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "open", Namespace: "web"},
			Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{
					{NamespaceSelector: &metav1.LabelSelector{}},
					{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
				},
			}}},
		},
		&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "none"}},
	}
}

// deployment is what `kubectl create deployment web --image=nginx` sends, and a bit more.
func deployment() *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	replicas := int32(3)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "web", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{
						Name:  "nginx",
						Image: "nginx:1.27",
						Ports: []corev1.ContainerPort{{ContainerPort: 80}},
						Env:   []corev1.EnvVar{{Name: "MODE", Value: "production"}, {Name: "EMPTY"}},
						VolumeMounts: []corev1.VolumeMount{
							{Name: "tmp", MountPath: "/tmp"}, {Name: "config", MountPath: "/etc/web", ReadOnly: true},
						},
					}},
					PriorityClassName: "high",
					Volumes: []corev1.Volume{
						{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
						{Name: "none"},
						{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
							LocalObjectReference: corev1.LocalObjectReference{Name: "web"},
						}}},
					},
				},
			},
		},
	}
}
