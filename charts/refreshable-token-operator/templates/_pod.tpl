{{/* Arguments of `run`, and of `check`, which says whether `run` could work with them. */}}
{{- define "rto.arguments" -}}
- --operator-namespace={{ .Release.Namespace }}
{{- range .Values.watchNamespaces }}
- --namespace={{ . }}
{{- end }}
{{- if .Values.leaderElection.enabled }}
- --leader-elect
{{- if gt (int .Values.leaderElection.shards) 1 }}
- --shards={{ int .Values.leaderElection.shards }}
{{- end }}
{{- end }}
{{- if not .Values.rbac.secretsWatch }}
- --secrets-watch=false
{{- end }}
{{- if .Values.serviceAccountTokens.enabled }}
- --service-account-tokens
{{- end }}
{{- if .Values.rollout.enabled }}
- --rollout
{{- end }}
{{- if .Values.endpointPolicy }}
- --endpoint-policy=/etc/refreshable-token-operator/endpoint-policy.yaml
{{- end }}
{{- if ne .Values.journal.type "none" }}
- --journal-dir=/var/lib/refreshable-token-operator/journal
{{- end }}
{{- if .Values.metrics.enabled }}
- --metrics-addr={{ .Values.metrics.address }}:8080
{{- if .Values.metrics.auth }}
- --metrics-auth
{{- end }}
{{- end }}
- --max-in-flight={{ .Values.config.maxInFlight }}
- --log-format={{ .Values.config.logFormat }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What places a Pod of ours on a node. */}}
{{- define "rto.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- if not (kindIs "invalid" .Values.hostUsers) }}
hostUsers: {{ .Values.hostUsers }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "rto.podTemplate" -}}
metadata:
  labels:
    {{- include "rto.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: operator
    {{- if .Values.endpointPolicy }}
    # The policy is read at the start: a changed one needs new Pods.
    checksum/endpoint-policy: {{ toYaml .Values.endpointPolicy | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "rto.serviceAccountName" . }}
  automountServiceAccountToken: true
  enableServiceLinks: false
  {{- with include "rto.imagePullSecrets" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with include "rto.placement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
  {{- range . }}
  - {{ merge (deepCopy .) (dict "labelSelector" (dict "matchLabels" (include "rto.selectorLabels" $ | fromYaml))) | toJson }}
  {{- end }}
  {{- end }}
  containers:
  - name: operator
    image: {{ include "rto.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
    - run
    {{- include "rto.arguments" . | nindent 4 }}
    env:
    # The name in claims and events; a Pod on the host's network would else have the node's.
    - name: HOSTNAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    - name: RUST_LOG
      value: {{ .Values.config.logLevel | quote }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if .Values.metrics.enabled }}
    ports:
    - {name: http, containerPort: 8080, protocol: TCP}
    {{- with .Values.startupProbe }}
    startupProbe:
      httpGet: {path: /readyz, port: http}
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.livenessProbe }}
    livenessProbe:
      httpGet: {path: /livez, port: http}
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.readinessProbe }}
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
    securityContext:
      {{- toYaml .Values.securityContext | nindent 6 }}
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    {{- if or (ne .Values.journal.type "none") .Values.endpointPolicy .Values.extraVolumeMounts }}
    volumeMounts:
    {{- if ne .Values.journal.type "none" }}
    - {name: journal, mountPath: /var/lib/refreshable-token-operator/journal}
    {{- end }}
    {{- if .Values.endpointPolicy }}
    - {name: endpoint-policy, mountPath: /etc/refreshable-token-operator, readOnly: true}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if or (eq .Values.journal.type "emptyDir") .Values.endpointPolicy .Values.extraVolumes }}
  volumes:
  {{- if eq .Values.journal.type "emptyDir" }}
  - name: journal
    emptyDir: {sizeLimit: {{ .Values.journal.size }}}
  {{- end }}
  {{- if .Values.endpointPolicy }}
  - name: endpoint-policy
    configMap: {name: {{ include "rto.fullname" . }}-endpoint-policy}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end }}
