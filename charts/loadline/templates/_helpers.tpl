{{/* Names are fixed, not the release's: two Loadlines in a cluster would fight over its watts. */}}

{{- define "loadline.labels" -}}
app.kubernetes.io/name: loadline
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "loadline.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "loadline.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:loadline-operator
{{- end }}

{{- define "loadline.agentUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:loadline-agent
{{- end }}

{{/* The node that the request's token is bound to; empty for a token that names none. */}}
{{- define "loadline.tokenNode" -}}
request.userInfo.?extra[?'authentication.kubernetes.io/node-name'][?0].orValue('')
{{- end }}

{{/* Settings of the container that both commands of the agent share. */}}
{{- define "loadline.agentContainer" -}}
image: {{ include "loadline.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  runAsUser: 0
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: {{ .Values.agent.canSetLimits }}
  capabilities:
    drop: [ALL]
    {{- if .Values.agent.canSetLimits }}
    add: [SYS_ADMIN]
    {{- end }}
{{- end }}

{{/* What the container runtime needs to put the driver's library in. */}}
{{- define "loadline.gpuEnv" -}}
- name: NVIDIA_VISIBLE_DEVICES
  value: all
- name: NVIDIA_DRIVER_CAPABILITIES
  value: utility
{{- with .Values.agent.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
