{{/* Names are fixed and don't contain the release's: two Loadlines in a cluster would set different limits on the same GPUs. */}}

{{/* Labels in selectors; they never change, so that a new chart alone restarts no pod. */}}
{{- define "loadline.selector" -}}
app.kubernetes.io/name: loadline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "loadline.labels" -}}
{{ include "loadline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "loadline.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
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

{{/* The security context of the Pod Security standard «restricted»: of the pod, and of each container. */}}
{{- define "loadline.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "loadline.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Scheduling fields of a component's pods: (dict "of" .Values.operator "bears" (list)); "bears" are more tolerations. */}}
{{- define "loadline.placement" -}}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat .of.tolerations (.bears | default list) }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The operator removes the start-up taint, so it must tolerate it. */}}
{{- define "loadline.operatorPlacement" -}}
{{- $taint := dict "key" "loadline.dev/agent-not-ready" "operator" "Exists" }}
{{- $bears := ternary (list $taint) list .Values.agent.startupTaint.enabled }}
{{- include "loadline.placement" (dict "of" .Values.operator "bears" $bears) }}
{{- end }}

{{/* Settings that the containers of agent and guard share. */}}
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

{{/* Environment by which the NVIDIA container runtime mounts the driver library. */}}
{{- define "loadline.gpuEnv" -}}
- name: NVIDIA_VISIBLE_DEVICES
  value: all
- name: NVIDIA_DRIVER_CAPABILITIES
  value: utility
{{- with .Values.agent.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Metadata of objects that exist only while their hook runs: (dict "root" $ "hook" "crds" "when" "pre-upgrade" "weight" -5). */}}
{{- define "loadline.hookMetadata" -}}
labels:
  {{- include "loadline.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .hook }}
annotations:
  helm.sh/hook: {{ .when }}
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* The ServiceAccount of a hook. */}}
{{- define "loadline.hookAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: loadline-{{ .hook }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "loadline.hookMetadata" . | nindent 2 }}
automountServiceAccountToken: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Binds a hook's ServiceAccount to the ClusterRole of the same name. */}}
{{- define "loadline.hookBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: loadline-{{ .hook }}
  {{- include "loadline.hookMetadata" . | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: loadline-{{ .hook }}}
subjects:
  - {kind: ServiceAccount, name: loadline-{{ .hook }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}

{{/* The pod of a hook: runs one of the operator image's commands, with the hook's own ServiceAccount. */}}
{{- define "loadline.hookPod" -}}
serviceAccountName: loadline-{{ .hook }}
automountServiceAccountToken: true
restartPolicy: Never
securityContext:
  {{- include "loadline.restrictedPod" .root | nindent 2 }}
containers:
  - name: {{ .hook }}
    image: {{ include "loadline.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: [python, -m, {{ .module }}]
    {{- with .args }}
    args: {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .root.Values.operator.extraEnv }}
    env: {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- include "loadline.restrictedContainer" .root | nindent 6 }}
    resources: {{- toYaml .root.Values.operator.resources | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
{{- include "loadline.operatorPlacement" .root }}
{{- end }}
