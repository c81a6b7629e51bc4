{{- define "app.labels" -}}
app.kubernetes.io/name: app
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "app.hook" -}}
"helm.sh/hook": {{ . }}
"helm.sh/hook-delete-policy": before-hook-creation
{{- end }}
